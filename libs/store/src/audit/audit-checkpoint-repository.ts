import { GrowingTree } from '@palisade/audit';
import type { AuditCheckpointRepository, StoredCheckpoint } from '@palisade/control';
import type { TenantSession } from '../session.ts';

interface CheckpointRow {
  readonly size: string;
  readonly subtrees: readonly Buffer[];
  readonly note: string;
  readonly created_at: Date;
}

export function postgresAuditCheckpoints(session: TenantSession): AuditCheckpointRepository {
  const { tenantId } = session.context;
  return {
    async newest(size) {
      const [row] = await session.query<CheckpointRow>(
        `SELECT size, subtrees, note, created_at FROM palisade.audit_checkpoint
         WHERE tenant_id = $1 AND ($2::bigint IS NULL OR size <= $2) ORDER BY size DESC, id DESC LIMIT 1`,
        [tenantId, size ?? null],
      );
      return row && toCheckpoint(row);
    },
    async list(limit) {
      const rows = await session.query<CheckpointRow>('SELECT size, subtrees, note, created_at FROM palisade.audit_checkpoint WHERE tenant_id = $1 ORDER BY id DESC LIMIT $2', [tenantId, limit]);
      return rows.map(toCheckpoint);
    },
    async insert({ tree, note }) {
      await session.execute('INSERT INTO palisade.audit_checkpoint (tenant_id, size, subtrees, note) VALUES ($1, $2, $3, $4)', [tenantId, tree.size, [...tree.subtrees], note]);
    },
  };
}

function toCheckpoint(row: CheckpointRow): StoredCheckpoint {
  return { tree: new GrowingTree(Number(row.size), row.subtrees), note: row.note, createdAt: row.created_at };
}
