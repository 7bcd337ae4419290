import { auditEventBytes, GrowingTree, leafHash } from '@palisade/audit';
import type { AuditRepositories } from './audit-event-repository.ts';

const PAGE = 500;

/**
 * The tree over the first `size` events, grown from the newest checkpoint that is not larger. Reads what lies between
 * them, a page at a time.
 */
export async function treeAt(size: number, { auditEvents, auditCheckpoints }: Pick<AuditRepositories, 'auditEvents' | 'auditCheckpoints'>): Promise<GrowingTree> {
  const start = await auditCheckpoints.newest(size);
  const tree = new GrowingTree(start?.tree.size, start?.tree.subtrees);
  while (tree.size < size) {
    const { items } = await auditEvents.list({}, { order: 'oldest', limit: Math.min(PAGE, size - tree.size), afterSeq: tree.size });
    if (items.length === 0) throw new Error(`The audit log ends at ${tree.size}, but ${size} events were asked for.`);
    for (const event of items) tree.append(leafHash(auditEventBytes(event)));
  }
  return tree;
}
