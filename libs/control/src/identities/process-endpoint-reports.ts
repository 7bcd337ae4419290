import { canonicalJsonText, compareStatements, sealIdentities, verifyEndpointReport, type JsonValue, type Signer } from '@palisade/bundle';
import type { FactsIncrement, NodeFact, ServiceFact } from '@palisade/policy';
import type { TenantContext } from '@palisade/tenancy';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { IdentityHead, IdentityRepositories, IdentityRepository, PendingReport, StoredWorkload } from './identity.ts';
import { readEndpointReport } from './read-endpoint-report.ts';

const REPORTS_AT_ONCE = 200;
/** A node that is further behind starts from a snapshot. */
const INCREMENTS_PER_SNAPSHOT = 64;

/** What changed in one run, to be signed as one increment. */
class Changes {
  readonly workloads = new Map<string, StoredWorkload | null>();
  readonly identities = new Map<number, Readonly<Record<string, string>>>();
  readonly services = new Map<string, ServiceFact>();
  readonly nodes = new Map<string, NodeFact | null>();

  get empty(): boolean {
    return this.workloads.size + this.services.size + this.nodes.size === 0;
  }
}

/**
 * Verifies what nodes reported of their endpoints, allocates identities, and writes the next revision of the signed
 * identity stream (trust-and-fleet §2), all in one transaction. Only what the enrolled key signed is believed; an
 * address that two nodes claim is bound to neither until they agree.
 */
export class ProcessEndpointReports {
  readonly #ports: { readonly unitOfWork: UnitOfWork<IdentityRepositories>; readonly director: readonly Signer[] };

  constructor(ports: { readonly unitOfWork: UnitOfWork<IdentityRepositories>; readonly director: readonly Signer[] }) {
    this.#ports = ports;
  }

  /** @returns true when more reports wait */
  async execute(context: TenantContext, clusterId: string): Promise<boolean> {
    return this.#ports.unitOfWork.run(context, async ({ identities, clusterNames, wakeUp, audit }) => {
      const clusterName = await clusterNames.nameOf(clusterId);
      if (clusterName === undefined) return false;
      const head = await identities.lockHead(clusterId);
      const changes = new Changes();
      const reports = await identities.pendingReports(clusterId, REPORTS_AT_ONCE);
      for (const report of reports) {
        const problems = await takeReport(identities, clusterId, clusterName, report, changes);
        if (problems !== null) {
          await audit.append({
            action: 'endpoint-report.refused',
            outcome: 'denied',
            target: { kind: 'node', id: report.nodeId, name: report.nodeName },
            summary: `An endpoint report of node ${report.nodeName} was refused: ${problems}`,
          });
        }
      }
      await publishNodes(identities, clusterId, changes);
      await removeOrphans(identities, clusterId, changes);
      // What a former director signed is refused by nodes that follow the root: they need a snapshot by the present one.
      const rekeyed = head.signedBy !== null && head.signedBy !== this.#signedBy;
      if (changes.empty && head.revision > 0 && !rekeyed) return reports.length === REPORTS_AT_ONCE;
      await this.#sign(context, identities, clusterId, head, changes, rekeyed);
      await wakeUp.notify('identities', { cluster: clusterId });
      return reports.length === REPORTS_AT_ONCE;
    });
  }

  get #signedBy(): string {
    return this.#ports.director.map(({ keyId }) => keyId).join();
  }

  async #sign(context: TenantContext, identities: IdentityRepository, clusterId: string, head: IdentityHead, changes: Changes, rekeyed: boolean): Promise<void> {
    const revision = head.revision + 1;
    const scope = { tenantId: context.tenantId, clusterId, epoch: BigInt(head.epoch), revision };
    const message = incrementOf(head.revision, revision, changes);
    if (head.revision > 0 && !rekeyed) {
      const envelope = await sealIdentities({ ...scope, kind: 'increment', previousRevision: head.revision, content: asJson(message) }, this.#ports.director);
      await identities.append(clusterId, { kind: 'increment', revision, previousRevision: head.revision, envelope });
    }
    const snapshotDue = head.revision === 0 || rekeyed || revision - head.snapshotRevision >= INCREMENTS_PER_SNAPSHOT;
    if (snapshotDue) {
      const facts = await identities.facts(clusterId, revision);
      const envelope = await sealIdentities({ ...scope, kind: 'snapshot', content: asJson(facts) }, this.#ports.director);
      await identities.append(clusterId, { kind: 'snapshot', revision, previousRevision: 0, envelope });
      await identities.forgetBefore(clusterId, rekeyed ? revision : head.snapshotRevision);
    }
    await identities.moveHead(clusterId, { revision, snapshotRevision: snapshotDue ? revision : head.snapshotRevision, signedBy: this.#signedBy });
  }
}

/** @returns null when the report was believed, or why not */
async function takeReport(identities: IdentityRepository, clusterId: string, clusterName: string, pending: PendingReport, changes: Changes): Promise<string | null> {
  const verified = verifyEndpointReport(pending.envelope, pending.publicKey, pending.nodeId);
  if (!verified.ok) {
    await identities.storeResult(clusterId, { nodeId: pending.nodeId, version: pending.version, accepted: false, problems: [verified.message] });
    return verified.message;
  }
  const { boot, sequence } = verified.report;
  if (compareStatements(verified.report, pending.heard) < 0) {
    const problem = 'an older report of the node was brought again; the newer one stands';
    await identities.storeResult(clusterId, { nodeId: pending.nodeId, version: pending.version, accepted: false, problems: [problem] });
    return problem;
  }
  const read = readEndpointReport(verified.report, { name: pending.nodeName, addressRanges: pending.addressRanges }, clusterName);
  const problems = [...read.problems];
  const before = new Map((await identities.workloadsOfNode(pending.nodeId)).map((workload) => [workload.key, workload]));
  const foreign = new Map((await identities.workloadsByKey(clusterId, read.workloads.map(({ fact }) => fact.key))).filter((workload) => workload.nodeId !== pending.nodeId).map((workload) => [workload.key, workload]));
  const saved: StoredWorkload[] = [];
  for (const { labels, fact } of read.workloads) {
    if (foreign.has(fact.key)) {
      problems.push(`Endpoint ${fact.key} is also reported by another node, which had it first.`);
      continue;
    }
    const identity = await identities.identityOf(labels);
    changes.identities.set(identity, labels);
    saved.push({ key: fact.key, nodeId: pending.nodeId, network: fact.network, addresses: fact.addresses, conflicting: [], fact: { ...fact, identity } });
  }
  const removed = [...before.keys()].filter((key) => !saved.some((workload) => workload.key === key));
  await identities.removeWorkloads(clusterId, removed);
  for (const key of removed) changes.workloads.set(key, null);
  await identities.saveWorkloads(clusterId, saved);
  const touched = [...before.values(), ...saved].flatMap((workload) => workload.addresses);
  const settled = await settleConflicts(identities, clusterId, touched);
  for (const workload of saved) note(changes, before.get(workload.key), settled.get(workload.key) ?? workload);
  for (const [key, workload] of settled) if (!saved.some((own) => own.key === key)) note(changes, undefined, workload);
  for (const workload of settled.values()) if (workload.conflicting.length > 0 && workload.nodeId === pending.nodeId) problems.push(`Endpoint ${workload.key}: ${workload.conflicting.join(', ')} is also claimed by another node, so it is bound to neither.`);
  problems.push(...(await takeServices(identities, clusterId, pending.nodeId, read.services, changes)));
  await identities.storeResult(clusterId, { nodeId: pending.nodeId, version: pending.version, accepted: true, heard: { boot, sequence }, problems });
  return null;
}

function note(changes: Changes, before: StoredWorkload | undefined, after: StoredWorkload): void {
  if (before !== undefined && canonicalJsonText(asJson(before.fact)) === canonicalJsonText(asJson(after.fact))) return;
  changes.workloads.set(after.key, after);
}

/** Recomputes, for every workload that holds one of the addresses, which of them are claimed by more than one node. */
async function settleConflicts(identities: IdentityRepository, clusterId: string, addresses: readonly string[]): Promise<ReadonlyMap<string, StoredWorkload>> {
  const holders = addresses.length === 0 ? [] : await identities.workloadsByAddress(clusterId, [...new Set(addresses)]);
  const claims = new Map<string, Set<string>>();
  for (const holder of holders) {
    // A workload on the host network shares the node's address by design.
    if (holder.fact.hostNetwork === true) continue;
    for (const address of holder.addresses) {
      const place = `${holder.network} ${address}`;
      claims.set(place, (claims.get(place) ?? new Set()).add(holder.nodeId));
    }
  }
  const changed = new Map<string, StoredWorkload>();
  for (const holder of holders) {
    // Of a holder only the addresses asked about are decided here; its other conflicts stay as they are.
    const conflicting = holder.addresses.filter((address) => (addresses.includes(address) ? (claims.get(`${holder.network} ${address}`)?.size ?? 0) > 1 : holder.conflicting.includes(address)));
    if (conflicting.join() === holder.conflicting.join()) continue;
    const bound = holder.addresses.filter((address) => !conflicting.includes(address));
    changed.set(holder.key, { ...holder, conflicting, fact: { ...holder.fact, addresses: bound } });
  }
  await identities.saveWorkloads(clusterId, [...changed.values()]);
  return changed;
}

/** The node that reported a service first speaks for it; what others say differently is shown and not believed. */
async function takeServices(identities: IdentityRepository, clusterId: string, nodeId: string, services: readonly { readonly key: string; readonly fact: ServiceFact }[], changes: Changes): Promise<string[]> {
  const known = new Map((await identities.servicesByKey(clusterId, services.map(({ key }) => key))).map((service) => [service.key, service]));
  const problems: string[] = [];
  const saved: { key: string; nodeId: string; fact: ServiceFact }[] = [];
  for (const { key, fact } of services) {
    const old = known.get(key);
    if (old !== undefined && canonicalJsonText(asJson(old.fact)) === canonicalJsonText(asJson(fact))) continue;
    if (old !== undefined && old.nodeId !== nodeId) {
      problems.push(`Service ${key} differs from what another node reported first, which stands.`);
      continue;
    }
    saved.push({ key, nodeId, fact });
    changes.services.set(key, fact);
  }
  await identities.saveServices(clusterId, saved);
  return problems;
}

async function publishNodes(identities: IdentityRepository, clusterId: string, changes: Changes): Promise<void> {
  const fresh = await identities.unpublishedNodes(clusterId, 1_000);
  await identities.markPublished(clusterId, fresh);
  for (const { fact } of fresh) changes.nodes.set(fact.name, fact);
  const departed = await identities.departedNodes(clusterId);
  await identities.markDeparted(clusterId, departed);
  for (const name of departed) changes.nodes.set(name, null);
}

async function removeOrphans(identities: IdentityRepository, clusterId: string, changes: Changes): Promise<void> {
  const orphans = await identities.orphanedWorkloads(clusterId);
  if (orphans.length === 0) return;
  await identities.removeWorkloads(clusterId, orphans.map(({ key }) => key));
  for (const { key } of orphans) changes.workloads.set(key, null);
  for (const [, workload] of await settleConflicts(identities, clusterId, orphans.flatMap(({ addresses }) => addresses))) note(changes, undefined, workload);
}

function incrementOf(previousRevision: number, identityRevision: number, changes: Changes): FactsIncrement {
  const upsertedWorkloads = [...changes.workloads.values()].flatMap((workload) => (workload === null ? [] : [workload.fact]));
  const used = new Set(upsertedWorkloads.map((workload) => workload.identity));
  return {
    identityRevision,
    previousRevision,
    identities: { upserted: [...changes.identities].filter(([id]) => used.has(id)).map(([id, labels]) => ({ id, labels })), removed: [] },
    workloads: { upserted: upsertedWorkloads, removed: [...changes.workloads].flatMap(([key, workload]) => (workload === null ? [key] : [])) },
    nodes: { upserted: [...changes.nodes.values()].filter((node) => node !== null), removed: [...changes.nodes].flatMap(([name, node]) => (node === null ? [name] : [])) },
    services: { upserted: [...changes.services.values()], removed: [] },
    cidrGroups: { upserted: [], removed: [] },
  };
}

function asJson(value: unknown): JsonValue {
  return value as JsonValue;
}
