export * from './flow/flow-batch-codec.ts';
export * from './flow/flow-receipt-codec.ts';
export * from './generated/palisade/agent/v1/channel_pb.ts';
export { decodeMessage, encodeMessage, maxMessageBytes, PROBLEM_CONTENT_TYPE, PROTOBUF_CONTENT_TYPE } from './channel/message-codec.ts';
export {
  AGENT_ROUTES,
  blobPath,
  identitiesPath,
  manifestPath,
  METADATA_ROLES,
  metadataPath,
  recoveryMessage,
  type AgentRoute,
  type ClientCertificate,
  type MetadataRole,
} from './channel/routes.ts';
export { attestationNonce } from './identity/attestation-nonce.ts';
export { formatNodeSpiffeId, nodeIdentityOfSubjectAltName, parseNodeSpiffeId, type NodeIdentity } from './identity/spiffe-id.ts';
export type { MessageInitShape } from '@bufbuild/protobuf';
