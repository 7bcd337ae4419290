import type { EnrollmentToken } from '@palisade/control';
import { z } from 'zod';
import { pageSchema } from '../paging/page.ts';

/** Kubernetes label syntax without a source: they become node labels. */
export const labelsSchema = z.record(z.string().regex(/^([a-z0-9.-]{1,253}\/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/), z.string().max(63)).refine((labels) => Object.keys(labels).length <= 64, 'has at most 64 labels');

export const newEnrollmentTokenSchema = z
  .strictObject({
    name: z.string().min(1).max(200),
    maxUses: z.int().min(1).max(100_000).default(1),
    expiresInSeconds: z.int().min(60).max(30 * 24 * 3600).default(3600),
    labels: labelsSchema.optional(),
    requiredAttestation: z.enum(['aws-iid', 'azure-imds', 'k8s-sat']).optional(),
  })
  .meta({ id: 'NewEnrollmentToken' });

const fields = {
  id: z.string(),
  name: z.string(),
  publicId: z.string(),
  maxUses: z.int(),
  uses: z.int(),
  expiresAt: z.string(),
  revokedAt: z.string().nullable(),
  labels: z.record(z.string(), z.string()),
  requiredAttestation: z.string().nullable(),
  createdBy: z.string(),
  createdAt: z.string(),
  lastUsedAt: z.string().nullable(),
  lastNodeId: z.string().nullable(),
};

export const enrollmentTokenSchema = z.object(fields).meta({ id: 'EnrollmentToken' });
export const createdEnrollmentTokenSchema = z.object({ ...fields, token: z.string() }).meta({ id: 'CreatedEnrollmentToken', description: 'The token is shown here and never again' });
export const enrollmentTokenPageSchema = pageSchema('EnrollmentTokenPage', enrollmentTokenSchema);

export function enrollmentTokenView(token: EnrollmentToken): z.output<typeof enrollmentTokenSchema> {
  const { clusterId: _clusterId, ...rest } = token;
  return {
    ...rest,
    labels: { ...token.labels },
    expiresAt: token.expiresAt.toISOString(),
    revokedAt: token.revokedAt?.toISOString() ?? null,
    createdAt: token.createdAt.toISOString(),
    lastUsedAt: token.lastUsedAt?.toISOString() ?? null,
  };
}
