/** What one run of a program takes under real traffic: the kernel's own count (bpf_stats_enabled), caches as the rest of the path leaves them. */

import { readFileSync, writeFileSync } from 'node:fs';
import { NativeKernel } from '@palisade/kernel';
import { Pins } from '../../apps/agent/src/enforcer/pins.ts';
import type { Configuration } from './configurations.ts';

const STATISTICS = '/proc/sys/kernel/bpf_stats_enabled';
const PROGRAMS = ['from_endpoint', 'to_endpoint'] as const;

interface Runs {
  readonly timeNs: number;
  readonly count: number;
}

function readRuns(kernel: NativeKernel, pins: Pins): Runs {
  let [timeNs, count] = [0, 0];
  for (const digest of kernel.listPins(pins.programs)) {
    for (const name of PROGRAMS) {
      const program = kernel.openPin(pins.program(digest, name));
      if (program === undefined) continue;
      const info = kernel.programInfo(program);
      kernel.close(program);
      timeNs += info.runTimeNs;
      count += info.runCount;
    }
  }
  return { timeNs, count };
}

/** Mean of the interface programs of `configuration` over a second of request and response; the least of five. */
export async function measureRuns(configuration: Configuration): Promise<{ readonly program_run_rr_ns: number }> {
  const kernel = new NativeKernel();
  const pins = new Pins(configuration.pinRoot);
  const before = readFileSync(STATISTICS, 'utf8');
  writeFileSync(STATISTICS, '1');
  try {
    const means: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      const start = readRuns(kernel, pins);
      await configuration.measure('rr', 1);
      const end = readRuns(kernel, pins);
      if (end.count > start.count) means.push((end.timeNs - start.timeNs) / (end.count - start.count));
    }
    if (means.length === 0) throw new Error('no program ran under the traffic');
    return { program_run_rr_ns: Math.min(...means) };
  } finally {
    writeFileSync(STATISTICS, before);
  }
}
