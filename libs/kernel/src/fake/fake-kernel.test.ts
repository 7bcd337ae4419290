import { kernelConformance } from '../testing/kernel-conformance.ts';
import { FakeKernel, FakeMachine } from './fake-kernel.ts';

kernelConformance('in memory', () => {
  const machine = new FakeMachine();
  machine.setInterface('eth-test', 7);
  return {
    kernel: new FakeKernel(machine),
    pins: '/pins',
    object: Uint8Array.from([0x7f, 0x45, 0x4c, 0x46]),
    ifname: 'eth-test',
    removeInterface: () => machine.setInterface('eth-test', 0),
    inPlace: (work) => work(),
    dispose: () => {},
  };
});
