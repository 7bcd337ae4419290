/** The maps of the endpoint object, as its `.maps` section declares them; the conformance suite compares them with a real load. */

import {
  CONNECTION,
  CONNECTION_KEY4,
  CONNECTION_KEY6,
  CONTROL,
  DENIAL,
  DENIAL_KEY,
  BANK_STATE,
  ENDPOINT,
  ENDPOINT_COUNTERS,
  ENDPOINT_STATE,
  EXECUTION,
  HTTP_COUNTERS,
  HTTP_GATE,
  LEARNED_ADDRESS,
  LOSS_COUNTERS,
  MAPPED_ADDRESS,
  MAX_ADDRESS_MAPS,
  MAX_DIRECT_IFINDEX,
  MAX_ENDPOINTS,
  MAX_NAME_SELECTORS,
  MAX_SOFT_SETS,
  NAME_CLASS_KEY,
  NAME_KEY,
  NAME_SELECTOR,
  PALISADE_BANKS,
  POLICY_SHAPE,
  PROCESS,
  PROCESS_EXECUTION,
  SERVICE,
  SERVICE_KEY,
  SOFT_STREAM,
  type MapType,
} from '@palisade/dataplane';

export interface MapDefinition {
  readonly type: MapType;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
}

function array(valueSize: number, maxEntries: number, type: MapType = 'array'): MapDefinition {
  return { type, keySize: 4, valueSize, maxEntries };
}

const BANKED = PALISADE_BANKS * MAX_ENDPOINTS;

export const MAP_DEFINITIONS: Readonly<Record<string, MapDefinition>> = {
  control: array(CONTROL.size, 1),
  endpoint_by_index: array(ENDPOINT.size, MAX_DIRECT_IFINDEX),
  endpoint_by_hash: { type: 'hash', keySize: 4, valueSize: ENDPOINT.size, maxEntries: MAX_ENDPOINTS },
  connections4: { type: 'lru-hash', keySize: CONNECTION_KEY4.size, valueSize: CONNECTION.size, maxEntries: 262144 },
  connections6: { type: 'lru-hash', keySize: CONNECTION_KEY6.size, valueSize: CONNECTION.size, maxEntries: 131072 },
  policies: array(4, BANKED, 'array-of-maps'),
  shadow_policies: array(4, BANKED, 'array-of-maps'),
  policy_shapes: array(POLICY_SHAPE.size, BANKED),
  shadow_shapes: array(POLICY_SHAPE.size, BANKED),
  addresses4: array(4, MAX_ADDRESS_MAPS, 'array-of-maps'),
  addresses6: array(4, MAX_ADDRESS_MAPS, 'array-of-maps'),
  prefixes4: array(4, MAX_ADDRESS_MAPS, 'array-of-maps'),
  prefixes6: array(4, MAX_ADDRESS_MAPS, 'array-of-maps'),
  executions: { type: 'lru-hash', keySize: 8, valueSize: EXECUTION.size, maxEntries: 4096 },
  process_executions: { type: 'lru-hash', keySize: 4, valueSize: PROCESS_EXECUTION.size, maxEntries: 32768 },
  lifelines: { type: 'hash', keySize: MAPPED_ADDRESS.size, valueSize: 4, maxEntries: 64 },
  host_units: { type: 'other', keySize: 8, valueSize: ENDPOINT.size, maxEntries: 0 },
  services: { type: 'lpm-trie', keySize: SERVICE_KEY.size, valueSize: SERVICE.size, maxEntries: 65536 },
  denials: { type: 'hash', keySize: DENIAL_KEY.size, valueSize: DENIAL.size, maxEntries: 16384 },
  endpoint_counters: array(ENDPOINT_COUNTERS.size, MAX_ENDPOINTS, 'percpu-array'),
  loss_counters: array(LOSS_COUNTERS.size, 1, 'percpu-array'),
  resolvers: { type: 'hash', keySize: MAPPED_ADDRESS.size, valueSize: 4, maxEntries: 256 },
  names: { type: 'hash', keySize: NAME_KEY.size, valueSize: 8, maxEntries: 256 },
  learned: { type: 'lru-hash', keySize: MAPPED_ADDRESS.size, valueSize: LEARNED_ADDRESS.size, maxEntries: 65536 },
  name_classes: { type: 'hash', keySize: NAME_CLASS_KEY.size, valueSize: 8, maxEntries: 16384 },
  name_selectors: array(NAME_SELECTOR.size, MAX_NAME_SELECTORS),
  processes: { type: 'lru-hash', keySize: 8, valueSize: PROCESS.size, maxEntries: 65536 },
  events: { type: 'ring-buffer', keySize: 0, valueSize: 0, maxEntries: 4 << 20 },
  http_events: { type: 'ring-buffer', keySize: 0, valueSize: 0, maxEntries: 1 << 20 },
  dns_events: { type: 'ring-buffer', keySize: 0, valueSize: 0, maxEntries: 512 << 10 },
  http_gate: array(HTTP_GATE.size, 1),
  soft_rules: array(4, PALISADE_BANKS * MAX_SOFT_SETS, 'array-of-maps'),
  soft_streams: { type: 'lru-hash', keySize: CONNECTION_KEY6.size, valueSize: SOFT_STREAM.size, maxEntries: 32768 },
  http_counters: array(HTTP_COUNTERS.size, 1, 'percpu-array'),
  bank_states: array(BANK_STATE.size, PALISADE_BANKS),
  endpoint_states: array(ENDPOINT_STATE.size, BANKED),
};
