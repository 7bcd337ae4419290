import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { ProgramKind } from '@palisade/dataplane';
import { NativeKernel } from '@palisade/kernel';
import { describe, expect, it } from 'vitest';
import { kernelUnavailable } from './testing/kernel-available.ts';

const unavailable = kernelUnavailable();
if (unavailable) console.warn(unavailable);

const BPF = fileURLToPath(new URL('../../../../bpf/', import.meta.url));

function kindOf(section: string): ProgramKind {
  if (section === 'tc') return 'interface';
  if (section === 'netfilter') return 'netfilter';
  if (section.startsWith('tp_btf/')) return 'tracepoint';
  if (section.startsWith('cgroup_skb/')) return section.endsWith('ingress') ? 'cgroup-ingress' : 'cgroup-egress';
  if (section.startsWith('cgroup/')) return `cgroup-${section.slice('cgroup/'.length)}` as ProgramKind;
  throw new Error(`no test loads programs of section “${section}”; add its kind here`);
}

/** Every program that a source file and the headers it includes declare: name and section. */
function declaredPrograms(path: string): readonly { readonly name: string; readonly kind: ProgramKind }[] {
  const text = readFileSync(path, 'utf8');
  const own = [...text.matchAll(/^SEC\("([^"]+)"\)\n(?:\w+ )+(\w+)\(/gm)].map(([, section = '', name = '']) => ({ name, kind: kindOf(section) }));
  const included = [...text.matchAll(/^#include "\.\.\/(lib\/[^"]+)"/gm)].flatMap(([, header = '']) => declaredPrograms(`${BPF}${header}`));
  return [...own, ...included];
}

describe.skipIf(unavailable)('the verifier', () => {
  const sources = readdirSync(`${BPF}programs`).filter((name) => name.endsWith('.bpf.c'));

  it.each(sources)('accepts every program of %s, within half of what it may walk', (source) => {
    const programs = declaredPrograms(`${BPF}programs/${source}`);
    expect(programs.length).toBeGreaterThan(0);
    const kernel = new NativeKernel();
    const loaded = kernel.load({ object: readFileSync(`${BPF}build/${source.replace('.bpf.c', '.o')}`), programs });
    try {
      expect(Object.keys(loaded.programs).sort()).toEqual(programs.map(({ name }) => name).sort());
      for (const program of Object.values(loaded.programs)) expect(kernel.programInfo(program).verifiedInstructions).toBeLessThan(500_000);
    } finally {
      for (const descriptor of [...Object.values(loaded.programs), ...Object.values(loaded.maps)]) kernel.close(descriptor);
    }
  });
});
