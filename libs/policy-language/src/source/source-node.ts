/** A policy as its author wrote it: values with their place. YAML and plain values both become this, readers see only this. */

export type SourceNode = SourceMap | SourceList | SourceScalar;

interface SourcePlace {
  /** Character offset in the text; -1 without text. */
  readonly offset: number;
  readonly parent: SourceMap | SourceList | undefined;
  /** Field name or index in `parent`; empty at the root. */
  readonly key: string | number;
}

/** A map, never a plain object: `__proto__` and `constructor` are field names like any other here. */
export interface SourceMap extends SourcePlace {
  readonly kind: 'map';
  readonly fields: Map<string, SourceNode>;
}

export interface SourceList extends SourcePlace {
  readonly kind: 'list';
  readonly items: SourceNode[];
}

export interface SourceScalar extends SourcePlace {
  readonly kind: 'scalar';
  readonly value: string | number | boolean | null;
  /** A number exactly as written, to tell 80 from 080 and 8e1. */
  readonly text: string;
}

/** RFC 6901 pointer from the root of the document. */
export function pointerOf(node: SourceNode): string {
  const parts: string[] = [];
  for (let at: SourceNode | undefined = node; at?.parent !== undefined; at = at.parent) {
    parts.push(String(at.key).replaceAll('~', '~0').replaceAll('/', '~1'));
  }
  return parts
    .reverse()
    .map((part) => `/${part}`)
    .join('');
}

/** Null and absent are the same to Kubernetes: a field set to null was not set. */
export function isAbsent(node: SourceNode | undefined): node is undefined {
  return node === undefined || (node.kind === 'scalar' && node.value === null);
}

/** The field of a map, or the node itself where it has none: for pointing at what is missing or wrong. */
export function fieldOrSelf(node: SourceNode, field: string | number): SourceNode {
  if (node.kind === 'map') return node.fields.get(String(field)) ?? node;
  if (node.kind === 'list') return node.items[Number(field)] ?? node;
  return node;
}
