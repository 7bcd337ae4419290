import type { ApiToken } from '@palisade/control';
import { ROLES } from '@palisade/tenancy';
import { z } from 'zod';
import { pageSchema } from '../paging/page.ts';

const name = z.string().trim().min(1).max(200);

export const newApiTokenSchema = z
  .strictObject({
    name,
    roles: z.array(z.enum(ROLES)).min(1).max(ROLES.length),
    clusters: z.array(z.uuid()).max(1_000).optional().describe('Absent: all clusters. An empty list: none.'),
    namespaces: z.array(z.string().min(1).max(63)).max(1_000).optional().describe('Absent: all namespaces and cluster-wide objects. An empty list: none.'),
    expiresAt: z.iso.datetime({ offset: true }).optional(),
  })
  .meta({ id: 'NewApiToken' });

export const apiTokenSchema = z
  .object({
    id: z.string(),
    publicId: z.string(),
    name: z.string(),
    roles: z.array(z.enum(ROLES)),
    clusters: z.array(z.string()).optional(),
    namespaces: z.array(z.string()).optional(),
    createdBy: z.string(),
    createdAt: z.string(),
    expiresAt: z.string().optional(),
    revokedAt: z.string().optional(),
    lastUsedAt: z.string().optional(),
  })
  .meta({ id: 'ApiToken' });

export const createdApiTokenSchema = apiTokenSchema.extend({ token: z.string().describe('Shown this once') }).meta({ id: 'CreatedApiToken' });

export const apiTokenPageSchema = pageSchema('ApiTokenPage', apiTokenSchema);

export function apiTokenView({ scope, createdAt, expiresAt, revokedAt, lastUsedAt, ...token }: ApiToken) {
  return {
    ...token,
    ...(scope.clusters === 'all' ? {} : { clusters: scope.clusters }),
    ...(scope.namespaces === 'all' ? {} : { namespaces: scope.namespaces }),
    createdAt: createdAt.toISOString(),
    expiresAt: expiresAt?.toISOString(),
    revokedAt: revokedAt?.toISOString(),
    lastUsedAt: lastUsedAt?.toISOString(),
  };
}
