import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { PALISADE_ABI } from '@palisade/dataplane';
import { describe, expect, it } from 'vitest';
import { kernelConformance } from '../testing/kernel-conformance.ts';
import { hasNativeAddon, loadNativeAddon } from './addon.ts';
import { NativeKernel } from './native-kernel.ts';

const OBJECT = fileURLToPath(new URL('../../../../bpf/build/endpoint.o', import.meta.url));
const usable = process.getuid?.() === 0 && hasNativeAddon() && existsSync(OBJECT);
if (!usable) console.warn('The native kernel tests are skipped: they need root, the compiled addon and the compiled programs.');

if (usable) {
  kernelConformance('this machine', () => {
    const id = `kc${randomBytes(3).toString('hex')}`;
    execFileSync('ip', ['netns', 'add', id]);
    execFileSync('ip', ['-n', id, 'link', 'add', 'eth-test', 'type', 'veth', 'peer', 'name', 'eth-peer']);
    const kernel = new NativeKernel();
    const pins = `/sys/fs/bpf/palisade/${id}`;
    return {
      kernel,
      pins,
      object: readFileSync(OBJECT),
      ifname: 'eth-test',
      removeInterface: () => execFileSync('ip', ['-n', id, 'link', 'del', 'eth-test']),
      inPlace: (work) => kernel.inNetworkNamespace(`/run/netns/${id}`, work),
      dispose: () => {
        kernel.removePin(pins);
        execFileSync('ip', ['netns', 'del', id]);
      },
    };
  });
}

describe.skipIf(!usable)('the native kernel', () => {
  it('keeps the verifier’s last words when a program is refused', () => {
    const object = Buffer.from(readFileSync(OBJECT));
    // An unknown instruction in the middle of the subprograms.
    object.fill(0xff, 0x400, 0x440);
    expect(() => new NativeKernel().load({ object, programs: [{ name: 'from_endpoint', kind: 'interface' }] })).toThrow(
      expect.objectContaining({ code: 'kernel.load-failed', message: expect.stringMatching(/libbpf|insn/) }),
    );
  });
  it('refuses an object that speaks another ABI, before any map is pinned', () => {
    const kernel = new NativeKernel();
    const mapPins = `/sys/fs/bpf/palisade/test-abi-${process.pid}`;
    expect(() => kernel.load({ object: readFileSync(OBJECT), abi: PALISADE_ABI + 1, mapPins, programs: [{ name: 'from_endpoint', kind: 'interface' }] })).toThrow(
      expect.objectContaining({ code: 'kernel.load-failed', message: expect.stringContaining(`speak datapath ABI ${PALISADE_ABI} and this agent ${PALISADE_ABI + 1}`) }),
    );
    expect(kernel.listPins(mapPins)).toEqual([]);
    kernel.removePin(mapPins);
  });
  it('loads while signals arrive all the time', async () => {
    const nothing = (): void => undefined;
    process.on('SIGWINCH', nothing);
    // A profiler's rate (sleep takes about a millisecond to start); much faster ones starve Node's own event loop.
    const storm = spawn('bash', ['-c', `while kill -WINCH ${process.pid}; do sleep 0.001; done`], { stdio: 'ignore' });
    try {
      const kernel = new NativeKernel();
      // The second one begins long after the first signal.
      for (let time = 0; time < 2; time += 1) {
        const loaded = kernel.load({ object: readFileSync(OBJECT), programs: [{ name: 'from_endpoint', kind: 'interface' }] });
        expect(Object.keys(loaded.programs)).toEqual(['from_endpoint']);
        for (const descriptor of [...Object.values(loaded.maps), ...Object.values(loaded.programs)]) kernel.close(descriptor);
      }
    } finally {
      storm.kill('SIGKILL');
      await once(storm, 'exit');
      process.off('SIGWINCH', nothing);
    }
  });
  it('answers with an error number where the kernel has no such netlink protocol', () => {
    const EPROTONOSUPPORT = 93;
    expect(loadNativeAddon().netlinkRequest(31, new Uint8Array(16))).toBe(EPROTONOSUPPORT);
  });

  it('keeps connection tracking off marked packets, asked once or twice', () => {
    const id = `ku${randomBytes(3).toString('hex')}`;
    execFileSync('ip', ['netns', 'add', id]);
    try {
      const kernel = new NativeKernel();
      const ask = (): number => kernel.inNetworkNamespace(`/run/netns/${id}`, () => kernel.leaveUntracked('test-table', 0x500000, 0x700000));
      expect([ask(), ask()]).toEqual([0, 0]);
      const rules = execFileSync('ip', ['netns', 'exec', id, 'nft', 'list', 'ruleset'], { encoding: 'utf8' });
      expect(rules.replaceAll(/\s+/g, ' ')).toBe(
        'table inet test-table { chain prerouting { type filter hook prerouting priority raw; policy accept; meta mark & 0x00700000 == 0x00500000 notrack } } ',
      );
      for (let again = 0; again < 2; again += 1) kernel.inNetworkNamespace(`/run/netns/${id}`, () => kernel.trackAgain('test-table'));
      expect(execFileSync('ip', ['netns', 'exec', id, 'nft', 'list', 'ruleset'], { encoding: 'utf8' })).toBe('');
    } finally {
      execFileSync('ip', ['netns', 'del', id]);
    }
  });

  it('finds its features by trying', () => {
    const features = new NativeKernel().features();
    expect(Object.keys(features)).toEqual(expect.arrayContaining(['tcx', 'ringbuf', 'batch', 'btf', 'netfilter-link', 'fentry', 'cgroup2']));
  });
  it('walks less than a third of what the verifier allows', () => {
    const kernel = new NativeKernel();
    const names = ['from_endpoint', 'to_endpoint', 'export_connections'];
    const loaded = kernel.load({ object: readFileSync(OBJECT), programs: names.map((name) => ({ name, kind: 'interface' as const })) });
    for (const program of Object.values(loaded.programs)) expect(kernel.programInfo(program).verifiedInstructions).toBeLessThan(330_000);
    for (const descriptor of [...Object.values(loaded.maps), ...Object.values(loaded.programs)]) kernel.close(descriptor);
  });
});
