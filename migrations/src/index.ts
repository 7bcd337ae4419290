import type { Step } from './step.ts';
import { foundation } from './steps/0001-foundation.ts';
import { auditCheckpoints } from './steps/0002-audit-checkpoints.ts';
import { policyApprovals } from './steps/0003-policy-approvals.ts';
import { idempotencyApplied } from './steps/0004-idempotency-applied.ts';
import { enrollment } from './steps/0010-enrollment.ts';
import { identities } from './steps/0011-identities.ts';
import { bundles } from './steps/0012-bundles.ts';
import { rollouts } from './steps/0013-rollouts.ts';
import { queue } from './steps/0014-queue.ts';
import { localActs } from './steps/0016-local-acts.ts';
import { epochRecoveries } from './steps/0017-epoch-recoveries.ts';
import { signedObservations } from './steps/0018-signed-observations.ts';
import { rolloutValidation } from './steps/0019-rollout-validation.ts';
import { flows } from './steps/0020-flows.ts';
import { flowEdges } from './steps/0021-flow-edges.ts';
import { flowIndexes } from './steps/0022-flow-indexes.ts';
import { flowPlans } from './steps/0023-flow-plans.ts';
import { flowPrivacy } from './steps/0026-flow-privacy.ts';
import { flowSinks } from './steps/0027-flow-sinks.ts';

/**
 * In order. To add a step: write `steps/<number>-<name>.ts` that exports a `Step`, and put it here by its number.
 * Numbers are explicit, so that two steps with one number meet in a merge conflict.
 */
export const MIGRATIONS: readonly Step[] = [foundation, auditCheckpoints, policyApprovals, idempotencyApplied, enrollment, identities, bundles, rollouts, queue, localActs, epochRecoveries, signedObservations, rolloutValidation, flows, flowEdges, flowIndexes, flowPlans, flowPrivacy, flowSinks];

export { migrateDown, migrateUp } from './migrate.ts';
export type { SqlRunner, Step } from './step.ts';
