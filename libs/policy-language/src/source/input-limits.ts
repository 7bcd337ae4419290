/** Bounds on inputs: one request must not be able to occupy a process. */
export interface InputLimits {
  /** UTF-16 code units of text. */
  readonly maxCharacters: number;
  readonly maxDocuments: number;
  /** Values in one document after aliases are expanded (the measure of a YAML bomb), and separators in the whole text. */
  readonly maxValues: number;
  readonly maxDepth: number;
}

export const DEFAULT_LIMITS: InputLimits = { maxCharacters: 4 * 1024 * 1024, maxDocuments: 5_000, maxValues: 100_000, maxDepth: 64 };

/** Brackets that text may leave open before the parser would recurse too deeply; regular expressions stay far below. */
const MAX_OPEN_BRACKETS = 512;

/**
 * Says why text must not even reach the YAML parser, which recurses and spends some 20 µs and 5 kB on every value:
 * `deep` for unclosed flow brackets or a line that opens very many block sequences or keys (`- - - -`), `many` for more
 * separators than documents may have values. Linear, and deliberately ignorant of quotes.
 */
export function refusedUnread(text: string, { maxValues }: InputLimits): 'deep' | 'many' | undefined {
  let open = 0;
  let opened = 0;
  let separators = 0;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x5b: // [
      case 0x7b: // {
        if (++open > MAX_OPEN_BRACKETS) return 'deep';
        break;
      case 0x5d: // ]
      case 0x7d: // }
        if (open > 0) open--;
        break;
      case 0x0a:
        opened = 0;
        if (++separators > maxValues) return 'many';
        break;
      case 0x2c: // ,
        if (++separators > maxValues) return 'many';
        break;
      case 0x2d: // -
      case 0x3f: // ?
        if (text.charCodeAt(i + 1) === 0x20 && ++opened > MAX_OPEN_BRACKETS) return 'deep';
        break;
    }
  }
  return undefined;
}
