/** Names that workloads give to their ports (rules 17, 28, 48). */

import type { NamedPort, WorkloadFact } from '../facts.ts';
import { compareText } from './candidate-rule.ts';

/** A port a workload names, lower case. */
export interface PortName extends NamedPort {
  readonly name: string;
}

/** Sorted, lower case; the evaluator compares names without case. */
export function portNamesOf({ namedPorts }: Pick<WorkloadFact, 'namedPorts'>): readonly PortName[] {
  const names = Object.entries(namedPorts ?? {}).map(([name, { port, protocol }]) => ({ name: name.toLowerCase(), port, protocol }));
  return names.sort((a, b) => compareText(a.name, b.name) || compareText(a.protocol, b.protocol) || a.port - b.port);
}

/** Equal texts, equal names. */
export function namesKey(names: readonly PortName[]): string {
  return names.map(({ name, protocol, port }) => `${name}=${protocol}/${port}`).join(',');
}
