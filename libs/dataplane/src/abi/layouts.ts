/** The structures of bpf/include/abi.h. A test compares each with the BTF of the compiled object. */

import { layout } from './layout.ts';
import { EXECUTION, PROCESS_EXECUTION } from './process-layouts.ts';

export const CONTROL = layout('control', { generation: ['u64'], flags: ['u32'], export_epoch: ['u32'], pickup_until_ns: ['u64'] });

export const ENDPOINT = layout('endpoint', {
  slot: ['u16'],
  flags: ['u16'],
  identity: ['u32'],
  network: ['u32'],
  present: ['u32'],
});

export const CONNECTION_KEY4 = layout('connection_key4', {
  low: ['u32'],
  high: ['u32'],
  low_port_be: ['u16'],
  high_port_be: ['u16'],
  slot: ['u16'],
  protocol: ['u8'],
  sense: ['u8'],
});

export const CONNECTION_KEY6 = layout('connection_key6', {
  low: ['u32', 4],
  high: ['u32', 4],
  low_port_be: ['u16'],
  high_port_be: ['u16'],
  slot: ['u16'],
  protocol: ['u8'],
  sense: ['u8'],
});

export const CONNECTION = layout('connection', {
  last_seen_ns: ['u64'],
  packets: ['u64', 2],
  bytes: ['u64', 2],
  generation: ['u32'],
  verdict: ['u8'],
  state: ['u8'],
  flags: ['u8'],
  tcp_flags: ['u8', 2],
  protocol: ['u8'],
  policy_port: ['u16'],
  http: ['u8'],
  timed: ['u8'],
  through_gate: ['u8'],
  reserved8: ['u8'],
  first_seen_ns: ['u64'],
  rule_id: ['u32'],
  peer_identity: ['u32'],
  backend: ['u8', 16],
  backend_port: ['u16'],
  l7: ['u16'],
  shadow_rule_id: ['u32'],
  shadow_verdict: ['u8'],
  shadow_differs: ['u8'],
  reserved: ['u16'],
  exported_epoch: ['u32'],
  exported_packets: ['u64', 2],
  exported_bytes: ['u64', 2],
  handshake_us: ['u32'],
  rtt_us: ['u32'],
  socket_cookie: ['u64'],
});

export const PROCESS = layout('process', { pid: ['u32'], uid: ['u32'], cgroup_id: ['u64'], command: ['u8', 16] });

export const ADDRESS4_KEY = layout('address4_key', { network: ['u32'], address_be: ['u8', 4] });
export const ADDRESS6_KEY = layout('address6_key', { network: ['u32'], address_be: ['u8', 16] });
export const PREFIX4_KEY = layout('prefix4_key', { length: ['u32'], network: ['u32'], address_be: ['u8', 4] });
export const PREFIX6_KEY = layout('prefix6_key', { length: ['u32'], network: ['u32'], address_be: ['u8', 16] });
export const ADDRESS_CLASS = layout('address_class', { peer_class: ['u32'], identity: ['u32'] });

export const POLICY_KEY = layout('policy_key', { peer_class: ['u32'], port: ['u16'], protocol: ['u8'], scope: ['u8'] });
export const POLICY_ENTRY = layout('policy_entry', { rule_id: ['u32'], verdict: ['u8'], flags: ['u8'], l7: ['u16'] });
export const POLICY_SHAPE = layout('policy_shape', { length_count: ['u8', 2], isolated: ['u8', 2], lengths: ['u8', 36] });

export const SERVICE = layout('service', {
  kinds: ['u8'],
  more: ['u8'],
  reserved: ['u16'],
  port: ['u16', 4],
  address: ['u8', 64],
});

export const SERVICE_KEY = layout('service_key', {
  length: ['u32'],
  network: ['u32'],
  address: ['u8', 16],
  protocol: ['u8'],
  reserved: ['u8'],
  port_be: ['u16'],
});

export const ENDPOINT_COUNTERS = layout('endpoint_counters', {
  forwarded_packets: ['u64'],
  forwarded_bytes: ['u64'],
  dropped_packets: ['u64'],
  dropped_bytes: ['u64'],
  audited_packets: ['u64'],
  untracked_packets: ['u64'],
  told_packets: ['u64'],
  told_drops: ['u64'],
});

export const LOSS_COUNTERS = layout('loss_counters', {
  ring_full: ['u64'],
  connections_created: ['u64'],
  connections_deleted: ['u64'],
  table_full: ['u64'],
  rejudged: ['u64'],
  events: ['u64'],
  iterated: ['u64'],
  denials_full: ['u64'],
});

export const DENIAL_KEY = layout('denial_key', {
  source: ['u8', 16],
  destination: ['u8', 16],
  source_port: ['u16'],
  destination_port: ['u16'],
  slot: ['u16'],
  family: ['u8'],
  protocol: ['u8'],
  rule_id: ['u32'],
  generation: ['u32'],
  drop_reason: ['u8'],
  direction: ['u8'],
  flags: ['u8'],
  shadow_verdict: ['u8'],
  shadow_rule_id: ['u32'],
});

export const DENIAL = layout('denial', {
  last_seen_ns: ['u64'],
  packets: ['u64'],
  bytes: ['u64'],
  told_packets: ['u64'],
  told_bytes: ['u64'],
  socket_cookie: ['u64'],
  peer_identity: ['u32'],
  ifindex: ['u32'],
  exported_epoch: ['u32'],
  tcp_flags: ['u8'],
  reserved: ['u8'],
  original_port: ['u16'],
  original_destination: ['u8', 16],
});

export const FLOW_EVENT = layout('flow_event', {
  time_ns: ['u64'],
  first_seen_ns: ['u64'],
  packets: ['u64'],
  bytes: ['u64'],
  reply_packets: ['u64'],
  reply_bytes: ['u64'],
  source: ['u8', 16],
  destination: ['u8', 16],
  sequence: ['u32'],
  ifindex: ['u32'],
  peer_identity: ['u32'],
  rule_id: ['u32'],
  generation: ['u32'],
  shadow_rule_id: ['u32'],
  rtt_us: ['u32'],
  source_port: ['u16'],
  destination_port: ['u16'],
  slot: ['u16'],
  cpu: ['u16'],
  kind: ['u8'],
  family: ['u8'],
  protocol: ['u8'],
  direction: ['u8'],
  verdict: ['u8'],
  drop_reason: ['u8'],
  flags: ['u8'],
  tcp_flags: ['u8'],
  shadow_verdict: ['u8'],
  reserved: ['u8', 3],
  original_destination: ['u8', 16],
  original_port: ['u16'],
  reserved_tail: ['u16', 3],
  cgroup_id: ['u64'],
  pid: ['u32'],
  uid: ['u32'],
  command: ['u8', 16],
  reserved_end: ['u64'],
});

export const HTTP_EVENT = layout('http_event', {
  time_ns: ['u64'],
  latency_ns: ['u64'],
  source: ['u8', 16],
  destination: ['u8', 16],
  backend: ['u8', 16],
  source_port: ['u16'],
  destination_port: ['u16'],
  backend_port: ['u16'],
  slot: ['u16'],
  status: ['u16'],
  drop_reason: ['u16'],
  ifindex: ['u32'],
  peer_identity: ['u32'],
  rule_id: ['u32'],
  generation: ['u32'],
  kind: ['u8'],
  family: ['u8'],
  direction: ['u8'],
  verdict: ['u8'],
  method: ['u8'],
  path_length: ['u8'],
  host_length: ['u8'],
  flags: ['u8'],
  path: ['u8', 192],
  host: ['u8', 64],
});

export const DNS_EVENT = layout('dns_event', {
  time_ns: ['u64'],
  latency_ns: ['u64'],
  client: ['u8', 16],
  resolver: ['u8', 16],
  backend: ['u8', 16],
  client_port: ['u16'],
  resolver_port: ['u16'],
  backend_port: ['u16'],
  slot: ['u16'],
  length: ['u16'],
  kept: ['u16'],
  ifindex: ['u32'],
  peer_identity: ['u32'],
  rule_id: ['u32'],
  generation: ['u32'],
  kind: ['u8'],
  family: ['u8'],
  verdict: ['u8'],
  flags: ['u8'],
  message: ['u8', 512],
});

export const HTTP_GATE = layout('http_gate', { port4_be: ['u16'], port6_be: ['u16'], reserved: ['u32'] });

export const SOFT_RULES_TABLES = layout('soft_rules', {
  masks: ['u64', 256],
  needs: ['u64', 64],
  once: ['u64'],
  rule_ids: ['u32', 64],
  starts: ['u16', 4],
  classes: ['u8', 1024],
  words: ['u16', 32768],
});

export const SOFT_STREAM = layout('soft_stream', { head: ['u32'], body: ['u32'], end: ['u32'], ahead: ['u32'], stalled: ['u8'], refused: ['u8'], reserved: ['u16'] });

export const HTTP_COUNTERS = layout('http_counters', {
  requests: ['u64'],
  unparsed: ['u64'],
  pipelined: ['u64'],
  tls: ['u64'],
  http2: ['u64'],
  ring_full: ['u64'],
});

export const MAPPED_ADDRESS = layout('mapped_address', { network: ['u32'], address_be: ['u8', 16] });
export const NAME_KEY = layout('name_key', { kind: ['u32'], reversed: ['u8', 256] });
export const NAME_SELECTOR = layout('name_selector', { text: ['u8', 272] });
export const NAME_CLASS_KEY = layout('name_class_key', { bank: ['u32'], base_class: ['u32'], selectors: ['u64'] });
export const LEARNED_ADDRESS = layout('learned_address', { selectors: ['u64'], expires_ns: ['u64'] });

export const BANK_STATE = layout('bank_state', {
  generation: ['u64'],
  policy_revision: ['u64'],
  identity_revision: ['u64'],
  content_digest: ['u8', 80],
  bundle_generation: ['u8', 48],
  address_digest: ['u8', 128],
  shadow_address_digest: ['u8', 128],
  program_digest: ['u8', 32],
  names_digest: ['u8', 32],
  soft_digest: ['u8', 32],
});

export const ENDPOINT_STATE = layout('endpoint_state', {
  key: ['u8', 160],
  policy_digest: ['u8', 32],
  shadow_digest: ['u8', 32],
  ifindex: ['u32'],
  identity: ['u32'],
  attach: ['u8', 24],
});

/** Every layout, for the comparison with BTF. */
export const LAYOUTS = [
  CONTROL,
  ENDPOINT,
  CONNECTION_KEY4,
  CONNECTION_KEY6,
  CONNECTION,
  PROCESS,
  EXECUTION,
  PROCESS_EXECUTION,
  ADDRESS4_KEY,
  ADDRESS6_KEY,
  PREFIX4_KEY,
  PREFIX6_KEY,
  ADDRESS_CLASS,
  POLICY_KEY,
  POLICY_ENTRY,
  POLICY_SHAPE,
  SERVICE,
  SERVICE_KEY,
  ENDPOINT_COUNTERS,
  LOSS_COUNTERS,
  DENIAL_KEY,
  DENIAL,
  FLOW_EVENT,
  HTTP_EVENT,
  HTTP_COUNTERS,
  HTTP_GATE,
  DNS_EVENT,
  MAPPED_ADDRESS,
  NAME_KEY,
  NAME_SELECTOR,
  NAME_CLASS_KEY,
  LEARNED_ADDRESS,
  BANK_STATE,
  ENDPOINT_STATE,
] as const;
