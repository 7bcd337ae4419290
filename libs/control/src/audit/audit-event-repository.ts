import type { AuditEvent, GrowingTree } from '@palisade/audit';
import type { Page } from '../page.ts';
import type { AuditFilter } from './audit-filter.ts';
import type { AuditLog } from './audit-log.ts';

export interface AuditHead {
  readonly seq: number;
  readonly hash: string;
}

export interface AuditEventRepository {
  list(filter: AuditFilter, page: { readonly order: 'newest' | 'oldest'; readonly limit: number; readonly afterSeq?: number }): Promise<Page<AuditEvent, number>>;
  head(): Promise<AuditHead>;
}

/** A signed note and the tree it was signed over. */
export interface StoredCheckpoint {
  readonly tree: GrowingTree;
  readonly note: string;
  readonly createdAt: Date;
}

export interface AuditCheckpointRepository {
  /** The newest one over at most `size` events. */
  newest(size?: number): Promise<StoredCheckpoint | undefined>;
  /** Newest first. */
  list(limit: number): Promise<readonly StoredCheckpoint[]>;
  insert(checkpoint: { readonly tree: GrowingTree; readonly note: string }): Promise<void>;
}

export interface AuditRepositories {
  readonly auditEvents: AuditEventRepository;
  readonly auditCheckpoints: AuditCheckpointRepository;
  readonly audit: AuditLog;
}
