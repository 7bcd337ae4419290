/** Stretches of ports over which the verdicts of two engines cannot change, so that one question answers for all of them. */

import type { PolicyEngine } from '../evaluate/engine.ts';
import type { Protocol } from '../facts.ts';
import type { PortMatch } from '../ir.ts';
import type { FlowEnd } from '../verdict.ts';

/** Inclusive; of ICMP the types. */
export interface PortSpan {
  readonly protocol: Protocol;
  readonly first: number;
  readonly last: number;
}

const TRANSPORT: readonly Protocol[] = ['TCP', 'UDP', 'SCTP'];
const LAST: Readonly<Record<Protocol, number>> = { TCP: 65535, UDP: 65535, SCTP: 65535, ICMP: 255, ICMPv6: 255 };

/** Every protocol's ports, cut wherever a rule that concerns one of the ends begins or ends in one of the engines. */
export function portSpans(engines: readonly PolicyEngine[], from: FlowEnd, to: FlowEnd): PortSpan[] {
  const cuts = new Map<Protocol, Set<number>>((Object.keys(LAST) as Protocol[]).map((protocol) => [protocol, new Set([0])]));
  const cut = (protocol: Protocol, first: number, last: number): void => {
    cuts.get(protocol)?.add(first);
    if (last < LAST[protocol]) cuts.get(protocol)?.add(last + 1);
  };
  for (const engine of engines) {
    const source = engine.index.end(from, to);
    const destination = engine.index.end(to, from);
    const named = Object.values(destination.workload?.namedPorts ?? {});
    for (const rules of [engine.rulesFor(source, 'egress'), engine.rulesFor(destination, 'ingress')]) {
      for (const { rule } of [...(rules?.admin ?? []), ...(rules?.denies ?? []), ...(rules?.allows ?? []), ...(rules?.baseline ?? [])]) {
        for (const match of rule.ports.flatMap(({ ports }) => ports)) {
          if (match.kind === 'named') for (const { protocol, port } of named) cut(protocol, port, port);
          else for (const { protocol, first, last } of spansOf(match)) cut(protocol, first, last);
        }
      }
    }
  }
  return [...cuts].flatMap(([protocol, starts]) => {
    const sorted = [...starts].sort((a, b) => a - b);
    return sorted.map((first, i): PortSpan => ({ protocol, first, last: (sorted[i + 1] ?? LAST[protocol] + 1) - 1 }));
  });
}

function spansOf(match: Exclude<PortMatch, { kind: 'named' }>): PortSpan[] {
  switch (match.kind) {
    case 'range':
      return [{ protocol: match.protocol, first: match.first, last: match.last }];
    case 'icmp':
      return [{ protocol: match.protocol, first: match.type, last: match.type }];
    case 'any':
    case 'protocol':
      return [];
  }
}

/** Joins neighbours. */
export function joinSpans(spans: readonly PortSpan[]): PortSpan[] {
  const joined: PortSpan[] = [];
  const sorted = spans.toSorted((a, b) => (a.protocol < b.protocol ? -1 : a.protocol > b.protocol ? 1 : a.first - b.first));
  for (const span of sorted) {
    const previous = joined.at(-1);
    if (previous?.protocol === span.protocol && previous.last + 1 >= span.first) joined[joined.length - 1] = { ...previous, last: Math.max(previous.last, span.last) };
    else joined.push(span);
  }
  return joined;
}

/** `TCP/8080`, `UDP/1000-2000`, `ICMP` (every type). */
export function spanText({ protocol, first, last }: PortSpan): string {
  if (first === 0 && last === LAST[protocol]) return protocol;
  return first === last ? `${protocol}/${first}` : `${protocol}/${first}-${last}`;
}

export function isTransport(protocol: Protocol): boolean {
  return TRANSPORT.includes(protocol);
}
