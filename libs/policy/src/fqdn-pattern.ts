/**
 * DNS names against `matchName` and `matchPattern` (rules 27, 44, 54), in time linear in the name: patterns are matched
 * by hand, no regular expression is built from policy text.
 */

import type { FqdnSelector } from './resolution.ts';

/** Lower case without the final dot. */
export function canonicalName(name: string): string {
  const lower = name.toLowerCase();
  return lower.endsWith('.') && lower.length > 1 ? lower.slice(0, -1) : lower;
}

const LABEL = /^[-a-z0-9_]+$/;

/** A predicate on canonical names. Patterns that are nothing but stars match every name, the root `.` too. */
export function compileFqdnSelector(selector: FqdnSelector): (canonical: string) => boolean {
  const value = canonicalName(selector.value.trim());
  if (selector.kind === 'name') return (name) => name === value;
  if (/^\*+$/.test(value)) return (name) => name === '.' || name.split('.').every((label) => LABEL.test(label));
  const deep = /^\*{2,}\./.exec(value);
  const labels = (deep === null ? value : value.slice(deep[0].length)).split('.').map((label) => label.replace(/\*+/g, '*'));
  return (name) => {
    const given = name.split('.');
    const extra = given.length - labels.length;
    if (deep === null ? extra !== 0 : extra < 1) return false;
    return given.every((label, i) => (i < extra ? LABEL.test(label) : labelMatches(labels[i - extra] ?? '', label)));
  };
}

/** One label against one label of a pattern, `*` standing for any run of DNS characters (greedy with one backtrack point). */
function labelMatches(pattern: string, label: string): boolean {
  if (!pattern.includes('*')) return pattern === label;
  if (label !== '' && !LABEL.test(label)) return false;
  let p = 0;
  let l = 0;
  let star = -1;
  let resume = 0;
  while (l < label.length) {
    if (pattern[p] === '*') {
      star = p++;
      resume = l;
    } else if (p < pattern.length && pattern[p] === label[l]) {
      p++;
      l++;
    } else if (star >= 0) {
      p = star + 1;
      l = ++resume;
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}
