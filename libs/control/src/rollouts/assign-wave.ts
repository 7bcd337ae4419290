import { sealAssignment, type Signer } from '@palisade/bundle';
import type { TenantContext } from '@palisade/tenancy';
import type { Rollout, RolloutRepository, RolloutTarget } from './rollout.ts';

const LIFETIME_MS = 30 * 24 * 3600 * 1000;

/**
 * Signs which nodes get a generation: one signature a wave over the Merkle root of its nodes, so that a gateway cannot
 * bring a canary's generation to nodes that the wave has not reached (trust-and-fleet §2).
 */
export class AssignWave {
  readonly #director: readonly Signer[];
  readonly #now: () => Date;

  constructor(ports: { readonly director: readonly Signer[]; readonly now: () => Date }) {
    this.#director = ports.director;
    this.#now = ports.now;
  }

  async execute(
    context: TenantContext,
    rollouts: RolloutRepository,
    input: { readonly clusterId: string; readonly rolloutId: string | null; readonly target: RolloutTarget; readonly nodes: readonly { readonly nodeId: string; readonly arch: string }[] },
  ): Promise<void> {
    const { target } = input;
    const nodes = input.nodes.flatMap((node) => {
      const content = target.byArch[node.arch];
      return content === undefined ? [] : [{ ...node, manifestSha256: content.manifestSha256 }];
    });
    if (nodes.length === 0) return;
    const proofs = await sealAssignment(
      {
        tenantId: context.tenantId,
        clusterId: input.clusterId,
        generation: { epoch: BigInt(target.generation.epoch), n: BigInt(target.generation.n) },
        expiresMs: this.#now().getTime() + LIFETIME_MS,
        nodes,
      },
      this.#director,
    );
    const assigned = nodes.map((node) => ({ ...node, ...proofs.get(node.nodeId)! }));
    await rollouts.assign({ clusterId: input.clusterId, rolloutId: input.rolloutId, target, envelope: assigned[0]!.envelope, nodes: assigned });
  }

  /** After a success: the generation becomes what the whole cluster runs, nodes that were skipped or came late included. */
  async adopt(context: TenantContext, rollouts: RolloutRepository, rollout: Rollout): Promise<void> {
    await rollouts.setAdopted(rollout.clusterId, rollout.target!.generation);
    await this.catchUp(context, rollouts, rollout.clusterId);
  }

  /** Gives nodes that enrolled since, or were left out, what their cluster runs. */
  async catchUp(context: TenantContext, rollouts: RolloutRepository, clusterId: string): Promise<number> {
    const target = await rollouts.adopted(clusterId);
    if (target === undefined) return 0;
    const nodes = await rollouts.stragglers(clusterId, target);
    await this.execute(context, rollouts, { clusterId, rolloutId: null, target, nodes });
    return nodes.length;
  }
}
