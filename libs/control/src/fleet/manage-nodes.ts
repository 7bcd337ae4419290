import { DomainError } from '@palisade/errors';
import type { TenantContext } from '@palisade/tenancy';
import { reachCluster } from '../clusters/reach-cluster.ts';
import type { Page, PageRequest } from '../page.ts';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { Node, NodeRepositories } from './node.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Reads a cluster's nodes, revokes them, lets locked ones in again, and assigns address ranges. */
export class ManageNodes {
  readonly #unitOfWork: UnitOfWork<NodeRepositories>;

  constructor(ports: { readonly unitOfWork: UnitOfWork<NodeRepositories> }) {
    this.#unitOfWork = ports.unitOfWork;
  }

  list(context: TenantContext, clusterId: string, page: PageRequest): Promise<Page<Node>> {
    return this.#unitOfWork.run(context, async ({ clusters, nodes }) => {
      const cluster = await reachCluster(context, clusters, clusterId);
      return nodes.list(cluster.id, page);
    });
  }

  get(context: TenantContext, clusterId: string, id: string): Promise<Node> {
    return this.#unitOfWork.run(context, async (repositories) => reachNode(context, repositories, clusterId, id));
  }

  /** Ends what the node may do on the agent channel; what its kernel enforces stays. The token it came with is not revived. */
  revoke(context: TenantContext, clusterId: string, id: string, reason: string): Promise<Node> {
    return this.#change(context, clusterId, id, 'revoked', reason);
  }

  /** Lets a locked node in again, once a person has looked. @throws DomainError `resource.conflict` for a revoked node */
  unlock(context: TenantContext, clusterId: string, id: string, reason: string): Promise<Node> {
    return this.#change(context, clusterId, id, 'active', reason);
  }

  /** The prefixes from which alone the node may report addresses; null lifts the bound. */
  assignRanges(context: TenantContext, clusterId: string, id: string, ranges: readonly string[] | null): Promise<Node> {
    return this.#unitOfWork.run(context, async (repositories) => {
      const node = await reachNode(context, repositories, clusterId, id);
      await repositories.nodes.setAddressRanges(node.id, ranges);
      await repositories.wakeUp.notify('endpoint-report', { cluster: node.clusterId });
      await repositories.audit.append({
        action: 'node.ranges-assigned',
        target: { kind: 'node', id: node.id, name: node.name },
        summary: `Node ${node.name} may report addresses in ${ranges === null ? 'any range' : ranges.join(', ')}.`,
      });
      return (await repositories.nodes.find(node.clusterId, node.id))!;
    });
  }

  #change(context: TenantContext, clusterId: string, id: string, state: 'active' | 'revoked', reason: string): Promise<Node> {
    return this.#unitOfWork.run(context, async (repositories) => {
      const { nodes, audit, wakeUp } = repositories;
      const node = await reachNode(context, repositories, clusterId, id);
      if (state === 'active' && node.state === 'revoked') throw new DomainError('resource.conflict', `Node ${node.name} is revoked for good; enroll the machine again.`);
      if (await nodes.setState(node.id, state, reason)) {
        await wakeUp.notify('node-state', { cluster: node.clusterId });
        await wakeUp.notify('endpoint-report', { cluster: node.clusterId });
        await audit.append({
          action: state === 'revoked' ? 'node.revoked' : 'node.unlocked',
          target: { kind: 'node', id: node.id, name: node.name },
          summary: `${state === 'revoked' ? 'Revoked' : 'Unlocked'} node ${node.name}: ${reason}`,
        });
      }
      return (await nodes.find(node.clusterId, node.id))!;
    });
  }
}

async function reachNode(context: TenantContext, { clusters, nodes }: NodeRepositories, clusterId: string, id: string): Promise<Node> {
  const cluster = await reachCluster(context, clusters, clusterId);
  const node = UUID.test(id) ? await nodes.find(cluster.id, id) : undefined;
  if (node === undefined) throw new DomainError('resource.not-found', `There is no node ${id}.`);
  return node;
}
