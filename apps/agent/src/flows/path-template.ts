/**
 * Paths as people group them: what names one thing among many becomes `{id}`, so that a service with a million orders has
 * one path, and an address book's mail addresses do not end up in the flow store.
 */

const SEGMENTS = 8;
const LENGTH = 128;
const IDENTIFIERS = [
  /^\d+$/,
  /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i,
  /^(?=.*\d)[0-9a-f]{8,}$/i,
  /^(?=.*\d)[A-Za-z0-9_-]{16,}$/,
  /@/,
  /%40/i,
];
const LONG_SEGMENT = 40;

function segmentTemplate(segment: string): string {
  return segment.length > LONG_SEGMENT || IDENTIFIERS.some((pattern) => pattern.test(segment)) ? '{id}' : segment;
}

/**
 * @param path as sent, without query string
 * @param cut more of it was sent than is known; the last segment is then not kept
 * @returns at most 8 segments and 128 characters; `…` stands for what is left out
 */
export function pathTemplate(path: string, cut = false): string {
  const target = path.replace(/^https?:\/\/[^/]*/i, '');
  const [first = '', ...segments] = target.split('/');
  if (first !== '') return target.slice(0, LENGTH); // `*`, or the authority of a CONNECT
  const known = cut ? segments.slice(0, -1) : segments;
  const kept = known.slice(0, SEGMENTS).map(segmentTemplate);
  if (cut || known.length > SEGMENTS) kept.push('…');
  const text = `/${kept.join('/')}`;
  return text.length > LENGTH ? `${text.slice(0, LENGTH)}…` : text;
}

/** Templates seen at one destination; past `limit` new ones become `{other}`, so that scans cannot fill dictionaries. */
export class PathTemplates {
  readonly #limit: number;
  readonly #known = new Map<string, Set<string>>();

  constructor(limit = 200) {
    this.#limit = limit;
  }

  get(destination: string, path: string, cut: boolean): string {
    const template = pathTemplate(path, cut);
    let known = this.#known.get(destination);
    if (known === undefined) {
      if (this.#known.size >= 4096) this.#known.clear();
      this.#known.set(destination, (known = new Set()));
    }
    if (known.has(template)) return template;
    if (known.size >= this.#limit) return '{other}';
    known.add(template);
    return template;
  }
}
