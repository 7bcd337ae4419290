export { hasNativeAddon } from './native/addon.ts';
export { NativeKernel } from './native/native-kernel.ts';
export { cgroup2Mount } from './native/probe-features.ts';
export { FakeKernel, FakeMachine } from './fake/fake-kernel.ts';
