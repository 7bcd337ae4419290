import type { Cluster } from '@palisade/control';
import { z } from 'zod';
import { pageSchema } from '../paging/page.ts';

/** RFC 1123 label: the name becomes part of identities and metrics. */
const clusterName = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'must be a DNS label: 1 to 63 lower-case letters, digits and inner hyphens');

const settings = { hostFirewall: z.boolean(), requireApproval: z.boolean() };

const settingsChange = z.strictObject({ hostFirewall: settings.hostFirewall.optional(), requireApproval: settings.requireApproval.optional() }).meta({ id: 'ClusterSettingsChange' });

export const newClusterSchema = z.strictObject({ name: clusterName, settings: settingsChange.optional() }).meta({ id: 'NewCluster' });

export const clusterChangeSchema = z
  .strictObject({ name: clusterName.optional(), settings: settingsChange.optional() })
  .meta({ id: 'ClusterChange' });

export const clusterSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    settings: z.object(settings).meta({ id: 'ClusterSettings' }),
    policyRevision: z.int(),
    version: z.int(),
    createdAt: z.string(),
    updatedAt: z.string(),
  })
  .meta({ id: 'Cluster' });

export const clusterPageSchema = pageSchema('ClusterPage', clusterSchema);

export function clusterView(cluster: Cluster): z.output<typeof clusterSchema> {
  return { ...cluster, createdAt: cluster.createdAt.toISOString(), updatedAt: cluster.updatedAt.toISOString() };
}
