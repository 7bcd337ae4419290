/** A batch of nfnetlink requests (include/uapi/linux/netfilter/nf_tables.h) that keeps connection tracking off marked packets. */

const BATCH_BEGIN = 0x10;
const BATCH_END = 0x11;
const SUBSYSTEM = 10;
const NEW = { table: 0, chain: 3, rule: 6 } as const;
const DELETE_TABLE = 2;
/** NLM_F_… */
const REQUEST = 0x1;
const ACK = 0x4;
const EXCL = 0x200;
const CREATE = 0x400;
const APPEND = 0x800;
/** Both IPv4 and IPv6. */
const FAMILY_INET = 1;
const HOOK_PREROUTING = 0;
/** Before connection tracking, which sits at -200. */
const PRIORITY_RAW = -300;
const META_MARK = 3;
const REGISTER = 1;
const NESTED = 0x8000;
const CHAIN = 'prerouting';

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}

function attribute(type: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(Math.ceil((4 + payload.length) / 4) * 4);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 4 + payload.length, true);
  view.setUint16(2, type, true);
  bytes.set(payload, 4);
  return bytes;
}

function nested(type: number, ...parts: readonly Uint8Array[]): Uint8Array {
  return attribute(type | NESTED, joined(parts));
}

function text(type: number, value: string): Uint8Array {
  return attribute(type, Buffer.from(`${value}\0`));
}

/** Numbers of the protocol are big endian. */
function number(type: number, value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value);
  return attribute(type, bytes);
}

/** What is compared is in the machine's order; NFTA_DATA_VALUE. */
function data(type: number, value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return nested(type, attribute(1, bytes));
}

function expression(name: string, ...attributes: readonly Uint8Array[]): Uint8Array {
  return nested(1, text(1, name), ...(attributes.length > 0 ? [nested(2, ...attributes)] : []));
}

function message(type: number, flags: number, family: number, resource: number, ...attributes: readonly Uint8Array[]): Uint8Array {
  const body = joined(attributes);
  const bytes = new Uint8Array(20 + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, REQUEST | flags, true);
  // struct nfgenmsg
  view.setUint8(16, family);
  view.setUint16(18, resource);
  bytes.set(body, 20);
  return bytes;
}

function change(type: number, flags: number, ...attributes: readonly Uint8Array[]): Uint8Array {
  return message((SUBSYSTEM << 8) | type, flags, FAMILY_INET, 0, ...attributes);
}

/** `meta mark & mask == mark notrack`, in a table of its own; EEXIST where the table is there already. */
export function untrackRule(table: string, mark: number, mask: number): Uint8Array {
  const expressions = [
    expression('meta', number(2, META_MARK), number(1, REGISTER)),
    expression('bitwise', number(1, REGISTER), number(2, REGISTER), number(3, 4), data(4, mask), data(5, 0)),
    expression('cmp', number(1, REGISTER), number(2, 0), data(3, mark)),
    expression('notrack'),
  ];
  return joined([
    message(BATCH_BEGIN, 0, 0, SUBSYSTEM),
    change(NEW.table, CREATE | EXCL, text(1, table)),
    change(NEW.chain, CREATE, text(1, table), text(3, CHAIN), nested(4, number(1, HOOK_PREROUTING), number(2, PRIORITY_RAW)), text(7, 'filter')),
    change(NEW.rule, CREATE | APPEND | ACK, text(1, table), text(2, CHAIN), nested(4, ...expressions)),
    message(BATCH_END, 0, 0, SUBSYSTEM),
  ]);
}

/** Takes the table away; ENOENT where there is none. */
export function dropTable(table: string): Uint8Array {
  return joined([message(BATCH_BEGIN, 0, 0, SUBSYSTEM), change(DELETE_TABLE, ACK, text(1, table)), message(BATCH_END, 0, 0, SUBSYSTEM)]);
}
