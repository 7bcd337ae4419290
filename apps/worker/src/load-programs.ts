import { isDomainError } from '@palisade/errors';
import { NativeKernel } from '@palisade/kernel';
import { kindOfSection, readProgramObject } from './bundles/program-object.ts';
import type { LoadAnswer } from './bundles/program-check.ts';

// Loads one program object in this kernel and lets it go again: `KernelProgramCheck` runs this in a process of its own. The
// object comes on standard input, the answer (JSON) goes to standard output. Nothing is pinned or attached.

const OPTIONAL: Readonly<Record<string, string>> = { netfilter: 'netfilter-link', tracepoint: 'tracepoint' };

function load(object: Uint8Array): LoadAnswer {
  try {
    const kernel = new NativeKernel();
    const features = kernel.features();
    const programs = readProgramObject(object).programs.flatMap(({ name, section }) => {
      const kind = kindOfSection(section);
      if (kind === undefined) return [];
      const needs = OPTIONAL[kind];
      return needs !== undefined && features[needs] !== true ? [] : [{ name, kind }];
    });
    const loaded = kernel.load({ object, programs });
    const verifiedInstructions = Object.values(loaded.programs).reduce((sum, program) => sum + kernel.programInfo(program).verifiedInstructions, 0);
    return { outcome: 'loaded', verifiedInstructions, release: kernel.release() };
  } catch (error) {
    if (isDomainError(error) && error.code === 'kernel.load-failed') return { outcome: 'refused', message: error.message };
    return { outcome: 'unable', message: `The kernel of this worker was not asked: ${error instanceof Error ? error.message : String(error)}` };
  }
}

const chunks: Buffer[] = [];
for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
process.stdout.write(JSON.stringify(load(Buffer.concat(chunks))));
