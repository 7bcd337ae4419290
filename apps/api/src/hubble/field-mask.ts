import { create, fromBinary, toBinary, type DescField, type DescMessage, type MessageShape } from '@bufbuild/protobuf';
import { reflect, type ReflectMessage } from '@bufbuild/protobuf/reflect';
import { DomainError } from '@palisade/errors';

const MAX_PATHS = 200;

/** Field paths as a tree; an empty subtree is the whole field. */
type Mask = Map<string, Mask>;

/**
 * A function that keeps only the named fields (google.protobuf.FieldMask). No paths: everything is kept. Paths that name no
 * field of ours are passed over: clients ask by default for fields that only other servers fill.
 * @throws DomainError `request.invalid` for too many paths
 */
export function fieldMask<Desc extends DescMessage>(schema: Desc, paths: readonly string[]): (message: MessageShape<Desc>) => MessageShape<Desc> {
  if (paths.length === 0) return (message) => message;
  if (paths.length > MAX_PATHS) throw new DomainError('request.invalid', `At most ${MAX_PATHS} field paths are allowed.`);
  const mask: Mask = new Map();
  for (const path of paths) addPath(mask, schema, path);
  return (message) => {
    const kept = create(schema);
    copy(mask, reflect(schema, message), reflect(schema, kept));
    return kept;
  };
}

function addPath(mask: Mask, schema: DescMessage, path: string): void {
  let level = mask;
  let message: DescMessage | undefined = schema;
  for (const name of path.split('.')) {
    const field: DescField | undefined = message?.fields.find((one) => one.name === name);
    if (field === undefined) return;
    let next = level.get(name);
    if (next === undefined) level.set(name, (next = new Map()));
    level = next;
    message = field.fieldKind === 'message' ? field.message : undefined;
  }
}

function copy(mask: Mask, from: ReflectMessage, to: ReflectMessage): void {
  for (const [name, below] of mask) {
    const field = from.desc.fields.find((one) => one.name === name);
    if (field === undefined || !from.isSet(field)) continue;
    if (below.size === 0 || field.fieldKind !== 'message') to.set(field, from.get(field));
    else {
      const kept = reflect(field.message);
      copy(below, from.get(field) as ReflectMessage, kept);
      to.set(field, kept);
    }
  }
}

/** Serializer and parser of a message, as gRPC wants them. */
export function wire<Desc extends DescMessage>(schema: Desc): { serialize: (message: MessageShape<Desc>) => Buffer; deserialize: (bytes: Buffer) => MessageShape<Desc> } {
  return {
    serialize: (message) => Buffer.from(toBinary(schema, message)),
    deserialize: (bytes) => fromBinary(schema, bytes),
  };
}
