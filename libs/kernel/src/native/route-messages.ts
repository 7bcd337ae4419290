/** Requests of rtnetlink(7) that deliver marked packets locally, whatever their destination. */

/** RTM_…; what removes is one more than what adds. */
const ROUTE = 24;
const RULE = 32;
/** NLM_F_REQUEST | NLM_F_ACK, and for what is added NLM_F_EXCL | NLM_F_CREATE */
const ASK = 0x1 | 0x4;
const ADD = 0x200 | 0x400;
const ATTRIBUTE = { ruleTable: 15, rulePriority: 6, ruleMark: 10, ruleMask: 16, routeDevice: 4, routeTable: 15 } as const;
const ACTION_TO_TABLE = 1;
const PROTOCOL_STATIC = 4;
const SCOPE_HOST = 254;
const TYPE_LOCAL = 2;
/** The routing table, and the place of its rule: after the local table, before the main one. */
const TABLE = 0x5061;
const PRIORITY = 100;

export type RouteChange = 'add' | 'remove';

function message(change: RouteChange, type: number, header: readonly number[], attributes: readonly (readonly [number, number])[]): Uint8Array {
  const bytes = new Uint8Array(16 + header.length + attributes.length * 8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, change === 'add' ? type : type + 1, true);
  view.setUint16(6, change === 'add' ? ASK | ADD : ASK, true);
  bytes.set(header, 16);
  for (const [index, [kind, value]] of attributes.entries()) {
    const at = 16 + header.length + index * 8;
    view.setUint16(at, 8, true);
    view.setUint16(at + 2, kind, true);
    view.setUint32(at + 4, value, true);
  }
  return bytes;
}

/** @param family AF_INET (2) or AF_INET6 (10) */
export function markRule(change: RouteChange, family: number, mark: number, mask: number): Uint8Array {
  // struct fib_rule_hdr
  return message(change, RULE, [family, 0, 0, 0, 0, 0, 0, ACTION_TO_TABLE, 0, 0, 0, 0], [
    [ATTRIBUTE.rulePriority, PRIORITY], [ATTRIBUTE.ruleMark, mark], [ATTRIBUTE.ruleMask, mask], [ATTRIBUTE.ruleTable, TABLE],
  ]);
}

/** Everything that is looked up in the table is this machine's own. @param loopback index of `lo` */
export function localRoute(change: RouteChange, family: number, loopback: number): Uint8Array {
  // struct rtmsg
  return message(change, ROUTE, [family, 0, 0, 0, 0, PROTOCOL_STATIC, SCOPE_HOST, TYPE_LOCAL, 0, 0, 0, 0], [
    [ATTRIBUTE.routeDevice, loopback], [ATTRIBUTE.routeTable, TABLE],
  ]);
}
