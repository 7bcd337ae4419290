/** What the kernel does with the tables, byte for byte (bpf/lib/soft_http.h): for explanations and tests. */

import { readWith, type Automaton } from './automaton.ts';
import { SOFT_FIELD, type SoftHttpTables } from './soft-http.ts';

/** `malformed`: no head that soft rules can judge; the rule's index; or no rule matches. */
export type HeadVerdict = { readonly kind: 'malformed' } | { readonly kind: 'denied' } | { readonly kind: 'allowed'; readonly rule: number; readonly bodyLength: number };

const MALFORMED: HeadVerdict = { kind: 'malformed' };
/** Bodies that are longer make sequence numbers ambiguous. */
const MAX_BODY = 2 ** 30;

/** @param head latin1, from its first byte to the end of its empty line */
export function judgeHead(tables: SoftHttpTables, head: string): HeadVerdict {
  const bytes = (text: string): number[] => Array.from(text, (character) => character.charCodeAt(0));
  const read = (automaton: Automaton, text: string | undefined): bigint | undefined => (text === undefined ? undefined : readWith(automaton, bytes(text)));
  const lines = head.split('\n');
  const [method, target, ...rest] = (lines[0] ?? '').split(' ');
  const parts = [read(tables.method, method), read(tables.target, target), read(tables.version, rest.length > 0 ? rest.join(' ') : undefined)];
  if (parts.includes(undefined)) return MALFORMED;
  let fields = 0n;
  let bodyLength = 0;
  for (const line of lines.slice(1)) {
    const meaning = read(tables.field, line);
    if (meaning === undefined || (fields & meaning & tables.once) !== 0n) return MALFORMED;
    if ((meaning & SOFT_FIELD.end) !== 0n) {
      if ((fields & SOFT_FIELD.host) === 0n || bodyLength > MAX_BODY) return MALFORMED;
      const left = parts.reduce<bigint>((mask, part) => mask & (part ?? 0n), (1n << 64n) - 1n);
      const rule = tables.needs.findIndex((need, index) => ((left >> BigInt(index)) & 1n) === 1n && (need & ~fields) === 0n);
      return rule < 0 ? { kind: 'denied' } : { kind: 'allowed', rule, bodyLength };
    }
    fields |= meaning;
    if ((meaning & SOFT_FIELD.length) !== 0n) bodyLength = Number(line.slice(line.indexOf(':') + 1).trim());
  }
  return MALFORMED;
}
