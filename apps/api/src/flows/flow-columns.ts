import type { StoredFlow } from '@palisade/control';
import { protocolName } from './flow-view.ts';

interface ColumnOf<Kind extends string, Value> {
  readonly name: string;
  readonly kind: Kind;
  readonly read: (flow: StoredFlow) => Value | undefined;
}

/** A column of an exported table: text, whole numbers, or instants in Unix microseconds. */
export type FlowColumn = ColumnOf<'text', string> | ColumnOf<'number', number> | ColumnOf<'time', number>;

const text = (name: string, read: (flow: StoredFlow) => string | undefined): FlowColumn => ({ name, kind: 'text', read });
const number = (name: string, read: (flow: StoredFlow) => number | undefined): FlowColumn => ({ name, kind: 'number', read });
const time = (name: string, read: (flow: StoredFlow) => number): FlowColumn => ({ name, kind: 'time', read });

function policiesText({ policies }: StoredFlow): string {
  return policies.map((policy) => `${policy.kind}/${policy.namespace ?? ''}/${policy.name}@${policy.revision}#${policy.index ?? 'default-deny'}`).join(' ');
}

/** What of a flow fits a table, in the order of the columns. */
export const FLOW_TABLE: readonly FlowColumn[] = [
  text('id', (flow) => flow.id), time('lastSeen', (flow) => flow.lastSeenUs), time('firstSeen', (flow) => flow.firstSeenUs), text('event', (flow) => flow.event), text('verdict', (flow) => flow.verdict),
  text('dropReason', (flow) => flow.dropReason), text('direction', (flow) => flow.direction), text('protocol', (flow) => protocolName(flow.protocol)),
  text('sourceAddress', (flow) => flow.source.address), number('sourcePort', (flow) => flow.source.port), number('sourceIdentity', (flow) => flow.source.identity),
  text('sourceNamespace', (flow) => flow.source.namespace), text('sourceWorkload', (flow) => flow.source.workload),
  text('destinationAddress', (flow) => flow.destination.address), number('destinationPort', (flow) => flow.destination.port), number('destinationIdentity', (flow) => flow.destination.identity),
  text('destinationNamespace', (flow) => flow.destination.namespace), text('destinationWorkload', (flow) => flow.destination.workload), text('policies', policiesText),
  number('packets', (flow) => flow.packets), number('bytes', (flow) => flow.bytes), number('replyPackets', (flow) => flow.replyPackets), number('replyBytes', (flow) => flow.replyBytes),
  text('process', (flow) => flow.process?.binary), text('httpMethod', (flow) => flow.http?.method), text('httpPath', (flow) => flow.http?.path), number('httpStatus', (flow) => flow.http?.status),
  text('dnsQuery', (flow) => flow.dns?.query), text('node', (flow) => flow.node), number('weight', (flow) => flow.weight),
];
