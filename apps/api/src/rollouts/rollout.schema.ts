import type { Rollout, RolloutDetail, RolloutEventRecord, RolloutNode, RolloutWave } from '@palisade/control';
import { DEFAULT_GATE, NODE_ROLLOUT_STATES, ROLLOUT_STATES, WAVE_STATES } from '@palisade/rollout';
import { z } from 'zod';
import { labelsSchema } from '../enrollment-tokens/enrollment-token.schema.ts';
import { pageQuery, pageSchema } from '../paging/page.ts';
import { validationSchema } from './validation.schema.ts';

const fraction = z.number().min(0).max(1);

const strategySchema = z
  .discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('sizes'), sizes: z.array(z.union([z.strictObject({ nodes: z.int().min(1).max(1_000_000) }), z.strictObject({ fraction: fraction.min(0.0001) })])).min(1).max(32) }),
    z.strictObject({ kind: z.literal('rings'), rings: z.array(z.strictObject({ name: z.string().min(1).max(63), matchLabels: labelsSchema })).min(1).max(32) }),
  ])
  .meta({ id: 'WaveStrategy' });

const gateFields = {
  minSample: z.int().min(1).max(1_000_000),
  minHealthy: fraction,
  maxFailed: fraction,
  maxUnknown: fraction,
  maxSkippedOffline: fraction,
  bakeMs: z.int().min(0).max(7 * 24 * 3600 * 1000),
  maxDenyDelta: z.number().min(0).nullable(),
};
const gateSchema = z.object(gateFields).meta({ id: 'RolloutGate' });
const gateInputSchema = z
  .strictObject({
    minSample: gateFields.minSample.default(DEFAULT_GATE.minSample),
    minHealthy: fraction.default(DEFAULT_GATE.minHealthy),
    maxFailed: fraction.default(DEFAULT_GATE.maxFailed),
    maxUnknown: fraction.default(DEFAULT_GATE.maxUnknown),
    maxSkippedOffline: fraction.default(DEFAULT_GATE.maxSkippedOffline),
    bakeMs: gateFields.bakeMs.default(DEFAULT_GATE.bakeMs),
    maxDenyDelta: gateFields.maxDenyDelta.default(DEFAULT_GATE.maxDenyDelta),
  })
  .meta({ id: 'RolloutGateInput' });
const windowSchema = z.strictObject({ days: z.array(z.int().min(0).max(6)).min(1).max(7), startMinute: z.int().min(0).max(1439), durationMinutes: z.int().min(1).max(1440) }).meta({ id: 'MaintenanceWindow' });

export const newRolloutSchema = z
  .strictObject({
    policyRevision: z.int().min(0).optional(),
    shadowPolicyRevision: z.int().min(0).optional(),
    channel: z.string().regex(/^[a-z0-9-]{1,32}$/).optional(),
    strategy: strategySchema.optional(),
    gate: gateInputSchema.optional(),
    windows: z.array(windowSchema).max(32).optional(),
    leaseMs: z.int().min(1_000).max(24 * 3600 * 1000).optional(),
    maxInFlight: z.int().min(1).max(1_000_000).optional(),
    supersede: z.boolean().optional(),
  })
  .meta({ id: 'NewRollout' });

export const reasonSchema = z.strictObject({ reason: z.string().min(1).max(500).optional() }).meta({ id: 'RolloutReason' });

const rolloutFields = {
  id: z.string(),
  channel: z.string(),
  state: z.enum(ROLLOUT_STATES),
  reason: z.string().nullable(),
  policyRevision: z.int(),
  shadowPolicyRevision: z.int().nullable(),
  revertOf: z.string().nullable(),
  generation: z.string().nullable(),
  contentDigests: z.record(z.string(), z.string()),
  strategy: strategySchema,
  gate: gateSchema,
  windows: z.array(windowSchema),
  leaseMs: z.int(),
  maxInFlight: z.int().nullable(),
  createdBy: z.string(),
  createdAt: z.string(),
  startedAt: z.string().nullable(),
  finishedAt: z.string().nullable(),
};
const countsSchema = z.object(Object.fromEntries(NODE_ROLLOUT_STATES.map((state) => [state, z.int()])) as Record<(typeof NODE_ROLLOUT_STATES)[number], z.ZodInt>).meta({ id: 'NodeCounts' });
const waveSchema = z
  .object({ index: z.int(), name: z.string(), size: z.int(), state: z.enum(WAVE_STATES), openedAt: z.string().nullable(), bakingSince: z.string().nullable(), reason: z.string().nullable(), counts: countsSchema })
  .meta({ id: 'RolloutWave' });

export const rolloutSchema = z.object(rolloutFields).meta({ id: 'Rollout' });
export const rolloutDetailSchema = z.object({ ...rolloutFields, waves: z.array(waveSchema), etaMs: z.int().nullable(), validation: validationSchema.nullable() }).meta({ id: 'RolloutDetail' });
export const rolloutPageSchema = pageSchema('RolloutPage', rolloutSchema);
export const rolloutNodesQuery = pageQuery.extend({ state: z.enum(NODE_ROLLOUT_STATES).optional() });
export const rolloutNodePageSchema = pageSchema(
  'RolloutNodePage',
  z.object({ nodeId: z.string(), nodeName: z.string(), waveIndex: z.int(), state: z.enum(NODE_ROLLOUT_STATES), reason: z.string().nullable(), leaseUntil: z.string().nullable(), updatedAt: z.string() }).meta({ id: 'RolloutNode' }),
);
export const rolloutEventPageSchema = pageSchema(
  'RolloutEventPage',
  z.object({ id: z.string(), kind: z.string(), waveIndex: z.int().nullable(), nodeId: z.string().nullable(), detail: z.string(), at: z.string() }).meta({ id: 'RolloutEvent' }),
);

export function rolloutView(rollout: Rollout): z.output<typeof rolloutSchema> {
  const { id, channel, state, reason, policyRevision, shadowPolicyRevision, revertOf, target, strategy, gate, windows, leaseMs, maxInFlight, createdBy } = rollout;
  return {
    id, channel, state, reason, policyRevision, shadowPolicyRevision, revertOf, leaseMs, maxInFlight, createdBy,
    generation: target === null ? null : `${target.generation.epoch}.${target.generation.n}`,
    contentDigests: Object.fromEntries(Object.entries(target?.byArch ?? {}).map(([arch, content]) => [arch, content.contentDigest])),
    strategy: strategy as z.output<typeof strategySchema>,
    gate,
    windows: windows.map((window) => ({ ...window, days: [...window.days] })),
    createdAt: rollout.createdAt.toISOString(),
    startedAt: rollout.startedAt?.toISOString() ?? null,
    finishedAt: rollout.finishedAt?.toISOString() ?? null,
  };
}

export function rolloutDetailView({ rollout, waves, etaMs, validation }: RolloutDetail): z.output<typeof rolloutDetailSchema> {
  // Plain JSON, as it was stored.
  return { ...rolloutView(rollout), waves: waves.map(waveView), etaMs, validation: structuredClone(validation) as z.output<typeof validationSchema> | null };
}

function waveView({ index, name, size, state, reason, counts, openedAtMs, bakingSinceMs }: RolloutWave): z.output<typeof waveSchema> {
  return { index, name, size, state, reason, counts, openedAt: instant(openedAtMs), bakingSince: instant(bakingSinceMs) };
}

export function rolloutNodeView({ leaseUntilMs, updatedAt, ...node }: RolloutNode) {
  return { ...node, leaseUntil: instant(leaseUntilMs), updatedAt: updatedAt.toISOString() };
}

export function rolloutEventView(event: RolloutEventRecord) {
  return { ...event, at: event.at.toISOString() };
}

function instant(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
