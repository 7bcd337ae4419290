import { createHash } from 'node:crypto';
import type { NodeOrders } from '@palisade/control';
import type { ClusterState } from './cluster-news.ts';

/**
 * Names everything that an answer tells a node. A node that comes with the token of what it would be told again has
 * nothing to hear and is held; any gateway can tell, for nothing is remembered about nodes.
 */
export function ordersToken(orders: NodeOrders, { identityRevision, rootVersion, epoch }: ClusterState): string {
  const { desired } = orders;
  const wanted = desired === null ? '-' : `${desired.epoch}.${desired.n}.${desired.manifestSha256}.${desired.assignmentId}`;
  return createHash('sha256').update(`${wanted} ${identityRevision} ${rootVersion} ${epoch}`).digest('base64url').slice(0, 22);
}
