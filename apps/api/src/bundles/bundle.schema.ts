import type { BundleRecord } from '@palisade/control';
import { z } from 'zod';
import { pageSchema } from '../paging/page.ts';

const bundleSchema = z
  .object({
    id: z.string(),
    contentDigests: z.record(z.string(), z.string()),
    policyRevision: z.int(),
    shadowPolicyRevision: z.int().nullable(),
    generations: z.array(z.string()),
    createdAt: z.string(),
  })
  .meta({ id: 'Bundle' });

export const bundlePageSchema = pageSchema('BundlePage', bundleSchema);

export function bundleView(bundle: BundleRecord & { readonly generations: readonly string[] }): z.output<typeof bundleSchema> {
  const { id, contentDigests, policyRevision, shadowPolicyRevision, generations, createdAt } = bundle;
  return { id, contentDigests: { ...contentDigests }, policyRevision, shadowPolicyRevision, generations: [...generations], createdAt: createdAt.toISOString() };
}
