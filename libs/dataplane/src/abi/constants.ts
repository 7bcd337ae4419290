/** Numbers of bpf/include/abi.h that user space needs. A test reads them out of the header. */

export const PALISADE_ABI = 7;
export const PALISADE_BANKS = 2;
export const MAX_ENDPOINTS = 4096;
export const MAX_ADDRESS_MAPS = 4;
export const MAX_DIRECT_IFINDEX = 16384;

export const DIRECTION_NUMBER = { ingress: 0, egress: 1 } as const;
export const VERDICT_NUMBER = { deny: 0, allow: 1, audit: 2, l7: 3, soft: 4 } as const;
export const EVENT_KIND = { new: 1, delta: 2, closed: 3, dropped: 4, shadow: 5, l7: 6, dns: 7 } as const;

export const ENTRY_LOG = 0x01;
export const ENTRY_GATE = 0x04;
export const ENTRY_DNS = 0x08;
export const ENTRY_RULE = 0x02;

export const CONTROL_BYPASS = 0x01;
export const CONTROL_SHADOW = 0x02;
export const CONTROL_NAMES = 0x08;
export const CONTROL_GATE = 0x20;
export const CONTROL_HTTP = 0x10;
export const CONTROL_AFTER_DNAT = 0x04;

export const MAX_NAME_SELECTORS = 64;
export const ALL_CLASSES = 0xffffffff;
export const NAME_EXACT = 0;
export const NAME_ONE_LABEL = 1;
export const NAME_SOME_LABELS = 2;
export const NAME_ANY = 3;

/** Bytes of a flow event without translation and process. */
export const FLOW_EVENT_SHORT = 128;
export const FLOW_REPLY = 0x01;
export const FLOW_TRANSLATED = 0x02;
export const FLOW_SHADOW = 0x04;
export const FLOW_LOG = 0x08;

export const HTTP_EVENT_EXCHANGE = 1;
export const HTTP_EVENT_TLS = 2;
export const HTTP_EVENT_HTTP2 = 3;
export const HTTP_PATH_CUT = 0x01;
export const HTTP_TRANSLATED = 0x02;

export const SOFT_WORDS = 32768;
export const SOFT_MASKS = 256;
export const SOFT_RULES = 64;
export const MAX_SOFT_SETS = 256;

export const DNS_EVENT_REFUSED = 2;
export const DNS_TRANSLATED = 0x01;
export const DNS_OVER_TCP = 0x02;

export const MARK_GATE_MASK = 0x00700000;
export const MARK_STEER = 0x00100000;
export const MARK_STEER_AGAIN = 0x00500000;
export const MARK_STEER_MASK = 0x00300000;
export const MARK_GATE_DOWN = 0x00400000;
export const MARK_GATE_UP = 0x00600000;

export const GATE_PORT_FIRST = 1024;
export const GATE_PORT_SHIFT = 31744;

export const CONNECTION_FORWARD_FROM_LOW = 0x01;
export const CONNECTION_EGRESS = 0x02;
export const CONNECTION_TRANSLATED = 0x04;
export const CONNECTION_PENDING = 0x08;

/** Row of an endpoint in a banked array. */
export function bankedRow(bank: number, slot: number): number {
  return bank * MAX_ENDPOINTS + slot;
}
