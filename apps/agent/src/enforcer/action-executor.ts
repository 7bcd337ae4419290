import {
  ADDRESS_MAP_NAMES,
  BANK_STATE,
  CONTROL_AFTER_DNAT,
  CONTROL_HTTP,
  CONTROL_NAMES,
  CONTROL_SHADOW,
  ENDPOINT_STATE,
  POLICY_SHAPE,
  bankedRow,
  concatenate,
  textBytes,
  unhex,
  type Action,
  type AddressMapName,
  type AttachmentTarget,
  type BankRow,
  type Descriptor,
  type DesiredBank,
  type EndpointImage,
  type KernelPort,
  type MapContentImage,
  type MapSpecification,
  type PolicySetImage,
} from '@palisade/dataplane';
import { ifindexOf, type Attachments } from './attachments.ts';
import { rowKey, type MapSet } from './map-set.ts';
import { writeNames } from './name-tables.ts';
import type { Pins } from './pins.ts';
import { writeSoftRules } from './soft-tables.ts';

const KEY_SIZE: Readonly<Record<AddressMapName, number>> = { addresses4: 8, addresses6: 20, prefixes4: 12, prefixes6: 24 };
const DIRTY = new Uint8Array(32).fill(0xff);

export interface ExecutionContext {
  readonly kernel: KernelPort;
  readonly maps: MapSet;
  readonly pins: Pins;
  readonly attachments: Attachments;
  readonly desired: DesiredBank;
  /** Program digest that the links run now. */
  readonly previousProgram: string;
  readonly afterDnat: boolean;
  /** For this long connections that are older than the attachments are adopted in either direction; 0 but at the first one. */
  readonly adoptionNs: bigint;
  /** Slot → why its interface could not be attached. */
  readonly failures: Map<number, string>;
}

function descriptorValue(descriptor: Descriptor): Uint8Array {
  return rowKey(descriptor);
}

function createFilled(kernel: KernelPort, specification: MapSpecification, content: MapContentImage, pin: string): void {
  const map = kernel.createMap({ ...specification, maxEntries: Math.max(1, content.count) });
  try {
    if (specification.type === 'lpm-trie') {
      const { keySize, valueSize } = specification;
      for (let at = 0; at < content.count; at += 1) {
        kernel.update(map, content.keys.subarray(at * keySize, (at + 1) * keySize), content.values.subarray(at * valueSize, (at + 1) * valueSize));
      }
    } else {
      kernel.updateBatch(map, content.keys, content.values, content.count);
    }
    kernel.pin(map, pin);
  } finally {
    kernel.close(map);
  }
}

function image(context: ExecutionContext, set: 'live' | 'shadow'): PolicySetImage {
  const found = set === 'live' ? context.desired.image.live : context.desired.image.shadow;
  if (!found) throw new RangeError('the plan names a shadow policy that the desired state lacks');
  return found;
}

function withPin<T>(context: ExecutionContext, path: string, use: (descriptor: Descriptor) => T): T {
  const descriptor = context.kernel.openPin(path);
  if (descriptor === undefined) throw new RangeError(`the pin ${path} has disappeared`);
  try {
    return use(descriptor);
  } finally {
    context.kernel.close(descriptor);
  }
}

/** Many endpoints have few policies. */
class DigestBytes {
  readonly #known = new Map<string, Uint8Array>();

  of(digest: string): Uint8Array {
    const known = this.#known.get(digest) ?? unhex(digest);
    this.#known.set(digest, known);
    return known;
  }
}

function endpointState(endpoint: EndpointImage, ifindex: number, digests: DigestBytes): Uint8Array {
  return ENDPOINT_STATE.encode({
    key: textBytes(endpoint.key, 160),
    ...(endpoint.policyDigest !== undefined && { policy_digest: digests.of(endpoint.policyDigest) }),
    ...(endpoint.shadowDigest !== undefined && { shadow_digest: digests.of(endpoint.shadowDigest) }),
    ifindex,
    identity: endpoint.identity,
    attach: textBytes(endpoint.attach.kind === 'interface' ? endpoint.attach.ifname : endpoint.attach.path.slice(-24), 24),
  });
}

/** Writes rows of an array in one call. */
function writeRows(context: ExecutionContext, map: string, rows: readonly (readonly [number, Uint8Array])[]): void {
  const keys = Uint32Array.from(rows, ([row]) => row);
  context.kernel.updateBatch(context.maps.map(map), new Uint8Array(keys.buffer), concatenate(rows.map(([, value]) => value)), rows.length);
}

const POLICY_MAP = { name: 'policy', type: 'hash', keySize: 8, valueSize: 8, maxEntries: 1, noPreallocation: true } as const;

function emptyPolicy(kernel: KernelPort, open: Map<string, Descriptor>): Descriptor {
  const known = open.get('') ?? kernel.createMap(POLICY_MAP);
  open.set('', known);
  return known;
}

/** Puts policy maps into rows of an outer map, in one call: each single update or deletion would wait a grace period. */
function fillOuter(context: ExecutionContext, bank: number, rows: readonly BankRow[], set: 'live' | 'shadow'): void {
  const { kernel, pins } = context;
  const policies = set === 'live' ? context.desired.image.live.policies : context.desired.image.shadow?.policies;
  const open = new Map<string, Descriptor>();
  const shapes: [number, Uint8Array][] = [];
  const filled: [number, Descriptor][] = [];
  try {
    for (const row of rows) {
      const digest = set === 'live' ? row.endpoint?.policyDigest : row.endpoint?.shadowDigest;
      const policy = digest === undefined ? undefined : policies?.get(digest);
      const at = bankedRow(bank, row.slot);
      shapes.push([at, policy?.shape ?? new Uint8Array(POLICY_SHAPE.size)]);
      if (digest === undefined || policy === undefined) {
        // Nothing looks into it, since the shape says that nothing is restricted; it lets go of the policy that was there.
        if (row.holds[set]) filled.push([at, emptyPolicy(kernel, open)]);
        continue;
      }
      const descriptor = open.get(digest) ?? kernel.openPin(`${pins.policies}/${digest}`);
      if (descriptor === undefined) throw new RangeError(`the policy map ${digest} has disappeared`);
      open.set(digest, descriptor);
      filled.push([at, descriptor]);
    }
    writeRows(context, set === 'live' ? 'policy_shapes' : 'shadow_shapes', shapes);
    writeRows(context, set === 'live' ? 'policies' : 'shadow_policies', filled.map(([at, descriptor]) => [at, descriptorValue(descriptor)]));
  } finally {
    for (const descriptor of open.values()) kernel.close(descriptor);
  }
}

function fillBank(context: ExecutionContext, bank: number, rows: readonly BankRow[]): void {
  const dirty = ENDPOINT_STATE.encode({ key: textBytes('(being written)', 160), policy_digest: DIRTY, shadow_digest: DIRTY });
  // A crash in between leaves rows that no desired state equals, so the next plan writes them again.
  writeRows(context, 'endpoint_states', rows.map((row) => [bankedRow(bank, row.slot), dirty]));
  fillOuter(context, bank, rows, 'live');
  fillOuter(context, bank, rows, 'shadow');
  const digests = new DigestBytes();
  const state = (row: BankRow): Uint8Array =>
    row.endpoint ? endpointState(row.endpoint, ifindexOf(context.desired.targets.get(row.slot)), digests) : new Uint8Array(ENDPOINT_STATE.size);
  writeRows(context, 'endpoint_states', rows.map((row) => [bankedRow(bank, row.slot), state(row)]));
}

function bankState(context: ExecutionContext, generation: bigint): Uint8Array {
  const { desired } = context;
  const digests = (set: PolicySetImage | undefined): Uint8Array =>
    concatenate(ADDRESS_MAP_NAMES.map((map) => (set ? unhex(set.addresses[map].digest) : new Uint8Array(32))));
  return BANK_STATE.encode({
    generation,
    policy_revision: BigInt(desired.policyRevision),
    identity_revision: BigInt(desired.identityRevision),
    content_digest: textBytes(desired.contentDigest, 80),
    bundle_generation: textBytes(desired.bundleGeneration, 48),
    address_digest: digests(desired.image.live),
    shadow_address_digest: digests(desired.image.shadow),
    program_digest: unhex(desired.programDigest),
    names_digest: unhex(desired.image.names.digest),
    soft_digest: unhex(desired.image.soft.digest),
  });
}

function attach(context: ExecutionContext, endpoint: EndpointImage, target: AttachmentTarget): void {
  const { kernel, maps } = context;
  if (context.adoptionNs > 0n) maps.writeControl({ ...maps.control(), pickup_until_ns: kernel.monotonicNs() + context.adoptionNs });
  try {
    context.attachments.attach(endpoint, target, context.desired.programDigest);
  } catch (error) {
    // One interface that vanished must not keep the others from being protected: it is reported as unprotected.
    context.failures.set(endpoint.slot, error instanceof Error ? error.message : String(error));
  }
}

/** Applies one action. Must run in the node's network namespace. The only place where the agent changes the kernel. */
export function executeAction(action: Action, context: ExecutionContext): void {
  const { kernel, maps, pins } = context;
  switch (action.kind) {
    case 'create-policy': {
      const content = image(context, action.set).policies.get(action.digest);
      if (content) createFilled(kernel, POLICY_MAP, content, `${pins.policies}/${action.digest}`);
      return;
    }
    case 'create-addresses': {
      const type = action.map.startsWith('prefixes') ? 'lpm-trie' : 'hash';
      const specification = { name: action.map, type, keySize: KEY_SIZE[action.map], valueSize: 8, maxEntries: 1, noPreallocation: true } as const;
      createFilled(kernel, specification, image(context, action.set).addresses[action.map], `${pins.addresses}/${action.map}-${action.digest}`);
      return;
    }
    case 'add-services':
      for (const { key, value } of action.rows) kernel.update(maps.map('services'), key, value);
      return;
    case 'remove-services':
      for (const key of action.keys) kernel.delete(maps.map('services'), unhex(key));
      return;
    case 'open-bank':
      kernel.waitForPrograms();
      kernel.update(maps.map('bank_states'), rowKey(action.bank), new Uint8Array(BANK_STATE.size));
      return;
    case 'set-addresses':
      withPin(context, `${pins.addresses}/${action.map}-${action.digest}`, (map) =>
        kernel.update(maps.map(action.map), rowKey(action.bank + (action.set === 'shadow' ? 2 : 0)), descriptorValue(map)),
      );
      return;
    case 'fill-bank':
      fillBank(context, action.bank, action.rows);
      return;
    case 'set-names':
      writeNames(kernel, maps, context.desired.image.names, action.bank);
      return;
    case 'set-soft-rules':
      writeSoftRules(kernel, maps, context.desired.image.soft, action.bank);
      return;
    case 'write-bank-state':
      kernel.update(maps.map('bank_states'), rowKey(action.bank), bankState(context, action.generation));
      return;
    case 'swap-programs':
      context.attachments.swap(action.slots, context.desired.programDigest, context.previousProgram);
      return;
    case 'activate': {
      const control = maps.control();
      const kept = control.flags & ~(CONTROL_SHADOW | CONTROL_AFTER_DNAT | CONTROL_NAMES);
      const flags = kept | CONTROL_HTTP | (action.shadow ? CONTROL_SHADOW : 0) | (context.afterDnat ? CONTROL_AFTER_DNAT : 0) | (context.desired.image.names.learned.length > 0 ? CONTROL_NAMES : 0);
      maps.writeControl({ ...control, generation: action.generation, flags });
      return;
    }
    case 'attach':
      attach(context, action.endpoint, action.target);
      return;
    case 'detach':
      context.attachments.detach(action.slot);
      return;
    case 'collect':
      for (const digest of action.policies) kernel.removePin(`${pins.policies}/${digest}`);
      for (const pin of action.addresses) kernel.removePin(`${pins.addresses}/${pin}`);
  }
}
