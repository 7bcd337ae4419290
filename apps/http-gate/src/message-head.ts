/** Heads of HTTP/1 messages, strictly (RFC 9112 §2–§6): what two parsers could read differently is refused. */

import { Malformed } from './malformed.ts';
import { normalTarget } from './request-target.ts';

export const MAX_HEAD = 16 * 1024;
const MAX_FIELDS = 100;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const HOST = /^(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;
const DIGITS = /^\d{1,15}$/;
const LF = 0x0a;
const CR = 0x0d;

export interface Field {
  readonly name: string;
  /** The name in lower case. */
  readonly key: string;
  readonly value: string;
}

export type Framing = { readonly kind: 'none' } | { readonly kind: 'length'; readonly length: number } | { readonly kind: 'chunked' } | { readonly kind: 'until-close' };

export interface RequestHead {
  readonly method: string;
  readonly version: '1.0' | '1.1';
  /** Normal form, see `normalTarget`; `*` of OPTIONS. */
  readonly path: string;
  /** With its question mark, or empty. */
  readonly query: string;
  readonly host: string;
  readonly fields: readonly Field[];
  readonly framing: Framing;
  /** The client asks to change to this protocol, and may. */
  readonly upgrade?: 'websocket';
  /** The connection ends after the answer. */
  readonly close: boolean;
}

export interface ResponseHead {
  readonly status: number;
  readonly framing: Framing;
  readonly close: boolean;
}

/**
 * Where the head in `bytes` ends (after its empty line), or undefined where more is needed.
 * @throws Malformed for line ends that are not CR LF, for control characters, and past MAX_HEAD
 */
export function headEnd(bytes: Buffer): number | undefined {
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    if (at >= MAX_HEAD) throw new Malformed('the head is too long', 431);
    if (byte === LF) throw new Malformed('a line ends in LF alone');
    if ((byte < 0x20 && byte !== 0x09 && byte !== CR) || byte === 0x7f) throw new Malformed('the head holds a control character');
    if (byte !== CR) continue;
    if (at + 1 >= bytes.length) break;
    if (bytes[at + 1] !== LF) throw new Malformed('a CR stands alone');
    if (at === 0) throw new Malformed('the message begins with an empty line');
    if (bytes[at + 2] === CR && bytes[at + 3] === LF) return at + 4;
    at += 1;
  }
  return undefined;
}

function readFields(lines: readonly string[]): Field[] {
  if (lines.length > MAX_FIELDS) throw new Malformed('there are too many header fields', 431);
  return lines.map((line) => {
    if (line.startsWith(' ') || line.startsWith('\t')) throw new Malformed('a header field is continued on the next line');
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(0, colon));
    if (!TOKEN.test(name)) throw new Malformed('the name of a header field is no token');
    return { name, key: name.toLowerCase(), value: line.slice(colon + 1).replace(/^[\t ]+|[\t ]+$/g, '') };
  });
}

function only(fields: readonly Field[], key: string): string | undefined {
  const found = fields.filter((field) => field.key === key);
  if (found.length > 1) throw new Malformed(`there is more than one ${key} field`);
  return found[0]?.value;
}

function listed(fields: readonly Field[], key: string): string[] {
  return fields.filter((field) => field.key === key).flatMap(({ value }) => value.split(',').map((item) => item.trim().toLowerCase()));
}

function bodyFraming(fields: readonly Field[], version: string): Framing | undefined {
  const length = only(fields, 'content-length');
  const encoding = only(fields, 'transfer-encoding');
  if (encoding !== undefined) {
    if (length !== undefined) throw new Malformed('the message has both a length and a transfer encoding');
    if (version === '1.0') throw new Malformed('HTTP/1.0 has no transfer encodings');
    if (encoding.toLowerCase() !== 'chunked') throw new Malformed('the transfer encoding is not exactly “chunked”', 501);
    return { kind: 'chunked' };
  }
  if (length === undefined) return undefined;
  if (!DIGITS.test(length)) throw new Malformed('the content length is no number');
  return { kind: 'length', length: Number(length) };
}

function versionOf(text: string | undefined): '1.0' | '1.1' {
  if (text === 'HTTP/1.1') return '1.1';
  if (text === 'HTTP/1.0') return '1.0';
  throw new Malformed('this is not HTTP/1.0 or HTTP/1.1', 505);
}

function closes(fields: readonly Field[], version: string): boolean {
  const options = listed(fields, 'connection');
  return options.includes('close') || (version === '1.0' && !options.includes('keep-alive'));
}

function upgradeOf(fields: readonly Field[]): 'websocket' | undefined {
  const protocols = listed(fields, 'upgrade');
  if (protocols.length === 0) return undefined;
  if (protocols.length === 1 && protocols[0] === 'websocket') return 'websocket';
  throw new Malformed('a change to another protocol than WebSocket cannot be judged', 403);
}

/** @param bytes the head with its empty line @throws Malformed */
export function readRequestHead(bytes: Buffer): RequestHead {
  const [line = '', ...rest] = bytes.toString('latin1').slice(0, -4).split('\r\n');
  const parts = line.split(' ');
  const [method = '', target = ''] = parts;
  if (parts.length !== 3) throw new Malformed('the request line has not exactly three parts');
  if (!TOKEN.test(method)) throw new Malformed('the method is no token');
  const version = versionOf(parts[2]);
  const fields = readFields(rest);
  if (method === 'CONNECT') throw new Malformed('tunnels are not opened here', 405);
  const { path, query } = target === '*' && method === 'OPTIONS' ? { path: '*', query: '' } : normalTarget(target);
  const host = only(fields, 'host');
  if (host === undefined && version === '1.1') throw new Malformed('there is no Host field');
  if (host !== undefined && !HOST.test(host)) throw new Malformed('the Host field names no host');
  const expectation = only(fields, 'expect');
  if (expectation !== undefined && expectation.toLowerCase() !== '100-continue') throw new Malformed('the expectation is not known', 417);
  const upgrade = upgradeOf(fields);
  const framing = bodyFraming(fields, version) ?? { kind: 'none' };
  if (upgrade !== undefined && framing.kind !== 'none') throw new Malformed('a request to change the protocol has a body');
  return { method, version, path, query, host: host ?? '', fields, framing, ...(upgrade && { upgrade }), close: closes(fields, version) };
}

/** @param method of the request that is answered (RFC 9112 §6.3) @throws Malformed */
export function readResponseHead(bytes: Buffer, method: string): ResponseHead {
  const [line = '', ...rest] = bytes.toString('latin1').slice(0, -4).split('\r\n');
  const match = /^(HTTP\/1\.[01]) ([1-9]\d\d)(?: .*)?$/.exec(line);
  if (match === null) throw new Malformed('the status line is none');
  const version = versionOf(match[1]);
  const status = Number(match[2]);
  const fields = readFields(rest);
  const framing = bodyFraming(fields, version);
  const without = method === 'HEAD' || status < 200 || status === 204 || status === 304;
  return { status, framing: without ? { kind: 'none' } : (framing ?? { kind: 'until-close' }), close: closes(fields, version) };
}

/** The head as it is sent on: the target in its normal form, everything else as it came. */
export function writeRequestHead(head: RequestHead): Buffer {
  const lines = [`${head.method} ${head.path}${head.query} HTTP/${head.version}`, ...head.fields.map(({ name, value }) => `${name}: ${value}`)];
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}
