/** Values that were parsed elsewhere (a JSON body, an object from the Kubernetes API) as source nodes. */

import type { SourceList, SourceMap, SourceNode } from './source-node.ts';

/**
 * Converts plain JSON data. Positions are unknown, pointers are exact. Throws RangeError when it nests deeper than
 * `maxDepth`, TypeError for what JSON cannot hold.
 */
export function sourceFromValue(value: unknown, maxDepth: number, parent?: SourceMap | SourceList, key: string | number = ''): SourceNode {
  if (maxDepth < 0) throw new RangeError('The value nests too deeply.');
  if (Array.isArray(value)) {
    const list: SourceList = { kind: 'list', items: [], offset: -1, parent, key };
    for (const [i, item] of value.entries()) list.items.push(sourceFromValue(item, maxDepth - 1, list, i));
    return list;
  }
  if (typeof value === 'object' && value !== null) {
    const map: SourceMap = { kind: 'map', fields: new Map(), offset: -1, parent, key };
    for (const [name, field] of Object.entries(value)) {
      if (field !== undefined) map.fields.set(name, sourceFromValue(field, maxDepth - 1, map, name));
    }
    return map;
  }
  if (value === null || typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))) {
    return { kind: 'scalar', value, text: String(value), offset: -1, parent, key };
  }
  throw new TypeError(`A ${typeof value} cannot be part of a policy.`);
}
