import { create, fromBinary, toBinary, type DescMessage, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import { DomainError } from '@palisade/errors';
import {
  ChallengeRequestSchema,
  ChallengeResponseSchema,
  CheckInRequestSchema,
  CheckInResponseSchema,
  EnrollRequestSchema,
  EnrollResponseSchema,
  IdentityDeliverySchema,
  RecoverRequestSchema,
  RenewRequestSchema,
  RenewResponseSchema,
} from '../generated/palisade/agent/v1/channel_pb.ts';

export const PROTOBUF_CONTENT_TYPE = 'application/x-protobuf';
export const PROBLEM_CONTENT_TYPE = 'application/problem+json';

const KIB = 1024;
const MIB = 1024 * KIB;

/** Largest encoded size of each message that is ever read, in bytes: servers and agents both stop there. */
const MAX_BYTES: ReadonlyMap<string, number> = new Map<string, number>([
  [EnrollRequestSchema.typeName, 256 * KIB],
  [EnrollResponseSchema.typeName, 1 * MIB],
  [RenewRequestSchema.typeName, 16 * KIB],
  [RenewResponseSchema.typeName, 64 * KIB],
  [ChallengeRequestSchema.typeName, 1 * KIB],
  [ChallengeResponseSchema.typeName, 1 * KIB],
  [RecoverRequestSchema.typeName, 16 * KIB],
  [CheckInRequestSchema.typeName, 6 * MIB], // carries an endpoint report
  [CheckInResponseSchema.typeName, 512 * KIB],
  [IdentityDeliverySchema.typeName, 96 * MIB],
]);

/** The cap on an encoded message of this kind, in bytes. */
export function maxMessageBytes(schema: DescMessage): number {
  const max = MAX_BYTES.get(schema.typeName);
  if (max === undefined) throw new TypeError(`${schema.typeName} is not sent on its own`);
  return max;
}

export function encodeMessage<S extends DescMessage>(schema: S, init: MessageInitShape<S>): Uint8Array {
  return toBinary(schema, create(schema, init));
}

/**
 * Decodes a message under its size cap. Fields this version does not know are ignored.
 * @throws DomainError `request.too-large`, `request.invalid`
 */
export function decodeMessage<S extends DescMessage>(schema: S, bytes: Uint8Array): MessageShape<S> {
  const max = maxMessageBytes(schema);
  if (bytes.byteLength > max) {
    throw new DomainError('request.too-large', `A ${schema.name} has at most ${max} bytes, this has ${bytes.byteLength}.`);
  }
  try {
    return fromBinary(schema, bytes, { readUnknownFields: false });
  } catch (cause) {
    throw new DomainError('request.invalid', `The body is not a ${schema.name} in protobuf encoding.`, { cause });
  }
}
