import type { AuditFilter } from '@palisade/control';
import { z } from 'zod';
import { pageQuery, pageSchema } from '../paging/page.ts';

const filters = {
  action: z.string().max(100).optional(),
  actorId: z.string().max(200).optional(),
  targetKind: z.string().max(100).optional(),
  targetId: z.string().max(200).optional(),
  outcome: z.enum(['success', 'denied', 'failure']).optional(),
  from: z.iso.datetime({ offset: true }).optional().describe('Inclusive'),
  to: z.iso.datetime({ offset: true }).optional().describe('Exclusive'),
};

export const auditListQuery = pageQuery.extend(filters);

export const auditExportQuery = z.strictObject({
  ...filters,
  format: z.enum(['ndjson', 'csv', 'ocsf']).default('ndjson').describe('ndjson: canonical events with their proof; csv and ocsf: without'),
  afterSeq: z.coerce.number().int().min(0).default(0).describe('Where a broken export goes on'),
});

export const auditEventSchema = z
  .object({
    version: z.int(),
    id: z.string(),
    tenantId: z.string(),
    seq: z.int(),
    time: z.string(),
    action: z.string(),
    outcome: z.enum(['success', 'denied', 'failure']),
    actor: z.object({ kind: z.string(), id: z.string(), name: z.string() }),
    target: z.object({ kind: z.string(), id: z.string(), name: z.string().optional() }),
    summary: z.string(),
    requestId: z.string().optional(),
    sourceAddress: z.string().optional(),
    beforeDigest: z.string().optional(),
    afterDigest: z.string().optional(),
    details: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
    previousHash: z.string(),
  })
  .meta({ id: 'AuditEvent' });

export const auditPageSchema = pageSchema('AuditEventPage', auditEventSchema);

export const checkpointListSchema = z
  .object({ items: z.array(z.object({ size: z.int(), note: z.string().describe('Signed note, c2sp.org/tlog-checkpoint'), createdAt: z.string() }).meta({ id: 'AuditCheckpoint' })) })
  .meta({ id: 'AuditCheckpointList' });

type Filters = Pick<z.output<typeof auditListQuery>, keyof typeof filters>;

export function toAuditFilter({ action, actorId, targetKind, targetId, outcome, from, to }: Filters): AuditFilter {
  return {
    ...(action === undefined ? {} : { action }),
    ...(actorId === undefined ? {} : { actorId }),
    ...(targetKind === undefined ? {} : { targetKind }),
    ...(targetId === undefined ? {} : { targetId }),
    ...(outcome === undefined ? {} : { outcome }),
    ...(from === undefined ? {} : { from: new Date(from) }),
    ...(to === undefined ? {} : { to: new Date(to) }),
  };
}
