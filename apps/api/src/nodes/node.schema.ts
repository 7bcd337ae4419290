import { isIP } from 'node:net';
import type { Node } from '@palisade/control';
import { z } from 'zod';
import { pageSchema } from '../paging/page.ts';

const cidr = z.string().max(64).refine((text) => {
  const [address, bits, ...rest] = text.split('/');
  const family = isIP(address ?? '');
  return rest.length === 0 && family !== 0 && /^\d{1,3}$/.test(bits ?? '') && Number(bits) <= (family === 4 ? 32 : 128);
}, 'must be a prefix such as 10.0.0.0/24');

export const nodeChangeSchema = z
  .strictObject({
    /** The prefixes from which alone the node may report addresses; null lifts the bound. */
    addressRanges: z.array(cidr).max(64).nullable().optional(),
    /** `active` lets a locked node in again. */
    state: z.literal('active').optional(),
    reason: z.string().min(1).max(500).optional(),
  })
  .meta({ id: 'NodeChange' });

export const nodeSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    state: z.enum(['active', 'locked', 'revoked']),
    stateReason: z.string().nullable(),
    labels: z.record(z.string(), z.string()),
    hostname: z.string(),
    agentVersion: z.string(),
    arch: z.string(),
    kernel: z.object({ release: z.string(), features: z.array(z.string()) }).meta({ id: 'NodeKernel' }),
    addresses: z.array(z.string()),
    addressRanges: z.array(z.string()).nullable(),
    attestation: z.object({ method: z.string() }).meta({ id: 'NodeAttestation' }),
    enrolledAt: z.string(),
    desiredGeneration: z.string().nullable(),
    reportProblems: z.array(z.string()),
    observed: z
      .object({
        bootId: z.string(),
        generation: z.string().nullable(),
        contentDigest: z.string().nullable(),
        state: z.string(),
        reason: z.string(),
        policyRevision: z.int(),
        identityRevision: z.int(),
        endpointsProtected: z.int(),
        endpointsUnprotected: z.int(),
        gaps: z.array(z.object({ key: z.string(), reason: z.string() })).meta({ description: 'The first unprotected endpoints, with the reason' }),
        longestUnprotectedMs: z.number().nullable().meta({ description: 'Longest time from the news of an interface until programs were attached to it; null where none came' }),
        deniedPackets: z.int(),
        disabledUntil: z.string().nullable(),
        seenAt: z.string(),
      })
      .meta({ id: 'NodeObservation', description: 'What the node said at its last check-in, read back from its kernel' })
      .nullable(),
  })
  .meta({ id: 'Node' });

export const nodePageSchema = pageSchema('NodePage', nodeSchema);

export function nodeView(node: Node): z.output<typeof nodeSchema> {
  const { clusterId: _clusterId, observed, ...rest } = node;
  return {
    ...rest,
    labels: { ...node.labels },
    kernel: { release: node.kernel.release, features: [...node.kernel.features] },
    addresses: [...node.addresses],
    addressRanges: node.addressRanges === null ? null : [...node.addressRanges],
    reportProblems: [...node.reportProblems],
    enrolledAt: node.enrolledAt.toISOString(),
    observed: observed === null ? null : observedView(observed),
  };
}

function observedView({ disabledUntilMs, seenAt, gaps, ...observed }: NonNullable<Node['observed']>) {
  return { ...observed, gaps: gaps.map((gap) => ({ ...gap })), disabledUntil: disabledUntilMs === null ? null : new Date(disabledUntilMs).toISOString(), seenAt: seenAt.toISOString() };
}
