import { z } from 'zod';
import { flowView, type FlowView } from './flow-view.ts';

const MAX_PATHS = 50;

/** Field paths as a tree; an empty subtree is the whole field. */
type Mask = Map<string, Mask>;

/** The fields below a schema; undefined for one that has none. */
function fieldsOf(schema: z.ZodType | undefined): Readonly<Record<string, z.ZodType>> | undefined {
  if (schema instanceof z.ZodOptional) return fieldsOf(schema.unwrap() as z.ZodType);
  if (schema instanceof z.ZodArray) return fieldsOf(schema.element as z.ZodType);
  return schema instanceof z.ZodObject ? (schema.shape as Record<string, z.ZodType>) : undefined;
}

/** Adds a path such as `source.namespace` to the tree. @returns whether there is such a field */
function addPath(mask: Mask, path: string): boolean {
  let level = mask;
  let schema: z.ZodType | undefined = flowView;
  for (const name of path.split('.')) {
    const fields = fieldsOf(schema);
    if (fields === undefined || !Object.hasOwn(fields, name)) return false;
    let next = level.get(name);
    if (next === undefined) level.set(name, (next = new Map()));
    level = next;
    schema = fields[name];
  }
  // The whole of a field is more than parts of it that were named before.
  level.clear();
  return true;
}

function kept(mask: Mask, value: unknown): unknown {
  if (mask.size === 0) return value;
  if (Array.isArray(value)) return value.map((one) => kept(mask, one));
  return Object.fromEntries(Object.entries(value as object).flatMap(([name, part]) => {
    const below = mask.get(name);
    return below === undefined || part === undefined ? [] : [[name, kept(below, part)]];
  }));
}

/** What is left of a flow's view. */
export type FlowFields = (view: FlowView) => Partial<FlowView>;

/** Dot-separated paths into a flow, separated by commas or repeated; absent: everything. An unknown path is refused, never passed over. */
export const fieldsParameter = z
  .union([z.string(), z.array(z.string())])
  .transform((given, context): FlowFields => {
    const paths = [given].flat().flatMap((text) => text.split(',')).map((text) => text.trim());
    if (paths.length > MAX_PATHS) context.addIssue({ code: 'custom', message: `takes at most ${MAX_PATHS} paths` });
    const mask: Mask = new Map();
    // Longest first: of `source` and `source.port`, the whole stays.
    for (const path of paths.slice(0, MAX_PATHS).toSorted((a, b) => b.length - a.length)) {
      if (!addPath(mask, path)) context.addIssue({ code: 'custom', message: `'${path.slice(0, 64)}' is no field of a flow: write for example lastSeen, verdict or source.namespace` });
    }
    return (view) => kept(mask, view) as Partial<FlowView>;
  })
  .optional();
