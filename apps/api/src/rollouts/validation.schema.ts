import { z } from 'zod';

const verdict = z.enum(['allow', 'deny', 'audit']);

const edgeSchema = z
  .object({
    source: z.string(),
    destination: z.string(),
    direction: z.enum(['ingress', 'egress']),
    protocol: z.string(),
    port: z.int().nullable(),
    before: verdict,
    after: verdict,
    flows: z.number(),
    policies: z.array(z.string()),
    examples: z.array(z.string()),
  })
  .meta({ id: 'ReplayedEdge' });

const replaySchema = z
  .discriminatedUnion('outcome', [
    z.object({
      outcome: z.literal('replayed'),
      sinceHours: z.number(),
      complete: z.boolean(),
      flows: z.number(),
      unchanged: z.number(),
      unresolved: z.number(),
      newlyDenied: z.array(edgeSchema),
      newlyAllowed: z.array(edgeSchema),
      further: z.number(),
    }),
    z.object({ outcome: z.literal('unavailable'), why: z.string() }),
  ])
  .meta({ id: 'ReplayReport' });

/** What VALIDATING did and found, before any node saw the candidate. */
export const validationSchema = z
  .object({
    programs: z.object({
      note: z.string(),
      objects: z.array(z.object({ name: z.string(), arch: z.string(), method: z.enum(['kernel', 'static']), programs: z.int(), verifiedInstructions: z.int().nullable() })),
    }),
    evaluator: z.object({ nodes: z.int(), tuples: z.int(), differences: z.array(z.string()) }),
    capacity: z.object({
      clusterNodes: z.int(),
      checkedNodes: z.int(),
      limits: z.object({ endpoints: z.int(), policyEntries: z.int(), addresses: z.int() }),
      fullest: z.array(z.object({ node: z.string(), endpoints: z.int(), policyEntries: z.int(), addresses: z.int() })),
    }),
    replay: replaySchema,
  })
  .meta({ id: 'RolloutValidation' });
