import { Malformed } from './malformed.ts';

const UNRESERVED = /^[A-Za-z0-9\-._~]$/;
/** What RFC 3986 allows in a path, and the few characters more that clients send unescaped and no server reads differently. */
const PATH = /^[A-Za-z0-9\-._~!$&'()*+,;=:@/|^`{}"<>[\]]$/;
const QUERY = /^[\x21\x22\x24-\x7e]*$/;
const MAX_TARGET = 8192;

function decodeEscapes(path: string): string {
  let out = '';
  for (let at = 0; at < path.length; at += 1) {
    const character = path.charAt(at);
    if (character !== '%') {
      if (!PATH.test(character)) throw new Malformed('the path holds a character that none may hold');
      out += character;
      continue;
    }
    const digits = path.slice(at + 1, at + 3);
    if (!/^[0-9A-Fa-f]{2}$/.test(digits)) throw new Malformed('a percent sign is not followed by two hexadecimal digits');
    const code = Number.parseInt(digits, 16);
    // Servers disagree about what these mean in a path: a slash, a backslash, the end of a string.
    if (code === 0x2f || code === 0x5c) throw new Malformed('an encoded slash cannot be told from a real one');
    if (code < 0x20 || code === 0x7f) throw new Malformed('the path holds an encoded control character');
    const decoded = String.fromCharCode(code);
    out += UNRESERVED.test(decoded) ? decoded : `%${digits.toUpperCase()}`;
    at += 2;
  }
  return out;
}

/**
 * The normal form of a request target in origin form, in which it is judged and sent on: unreserved characters decoded,
 * escapes in upper case, several slashes made one, dot segments taken out (RFC 3986 §6.2.2). The query stays as it is.
 * @throws Malformed for other forms, encoded slashes and control characters, and what is no target
 */
export function normalTarget(target: string): { readonly path: string; readonly query: string } {
  if (target.length > MAX_TARGET) throw new Malformed('the target is too long', 414);
  if (!target.startsWith('/')) throw new Malformed('the target does not begin with a slash');
  const mark = target.indexOf('?');
  const query = mark < 0 ? '' : target.slice(mark);
  if (!QUERY.test(query)) throw new Malformed('the query holds a character that none may hold');
  const segments: string[] = [];
  const given = decodeEscapes(mark < 0 ? target : target.slice(0, mark)).split('/').slice(1);
  for (const [index, segment] of given.entries()) {
    if (segment === '..') segments.pop();
    if (segment !== '..' && segment !== '.' && segment !== '') segments.push(segment);
    else if (index === given.length - 1) segments.push('');
  }
  return { path: `/${segments.join('/')}`, query };
}
