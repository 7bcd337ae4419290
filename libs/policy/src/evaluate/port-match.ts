/** Ports of rules, compiled to predicates over packets. */

import type { PortMatch } from '../ir.ts';
import { PROTOCOL_NUMBER } from '../resolution.ts';
import type { FlowQuery } from '../verdict.ts';
import type { End } from './ends.ts';

export type PortTest = (flow: FlowQuery, destination: End) => boolean;

export function compilePort(match: PortMatch): PortTest {
  switch (match.kind) {
    case 'any':
      return () => true;
    case 'range':
      return ({ protocol, port }) => protocol === match.protocol && port !== undefined && port >= match.first && port <= match.last;
    case 'named':
      return compileNamed(match.name.toLowerCase(), match.protocols);
    case 'icmp':
      return ({ protocol, icmpType }) => protocol === match.protocol && icmpType === match.type;
    case 'protocol':
      return ({ protocol }) => PROTOCOL_NUMBER[protocol] === match.number;
  }
}

/** Resolved on the destination workload; nodes and outside addresses have no port names (rule 17). */
function compileNamed(name: string, protocols: readonly string[]): PortTest {
  return ({ protocol, port }, destination) => {
    if (port === undefined || !protocols.includes(protocol)) return false;
    const named = destination.workload?.namedPorts ?? {};
    for (const key of Object.keys(named)) {
      const found = named[key];
      if (found !== undefined && key.toLowerCase() === name && found.port === port && found.protocol === protocol) return true;
    }
    return false;
  };
}
