export { AUDIT_EVENT_VERSION, auditEventBytes, auditEventHash, GENESIS_HASH, type AuditEvent } from './audit-event.ts';
export { EXPORT_FORMAT, exportLines, type ExportFooter, type ExportHeader, type ExportRedaction } from './audit-export.ts';
export { canonicalJson, type Json } from './canonical-json.ts';
export { openCheckpoint, signCheckpoint, type Checkpoint } from './checkpoint.ts';
export { CSV_HEADER, csvLine } from './csv.ts';
export { consistencyProof, EMPTY_ROOT, GrowingTree, inclusionProof, leafHash, merkleRoot, verifyConsistency, verifyInclusion } from './merkle-tree.ts';
export { OCSF_VERSION, toOcsf } from './ocsf.ts';
export { openNote, parseVerifierKey, signNote, verifierKey, type NoteSigner, type NoteVerifier } from './signed-note.ts';
export { verifyExport, type Verification, type VerificationFault } from './verify-export.ts';
