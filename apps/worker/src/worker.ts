import { AdvanceRollout, AssignWave, AuditLocalActs, EnrollNode, OpenEpoch, ProcessEndpointReports, RecoverNode, RenewCertificate, SealBundle } from '@palisade/control';
import { loadWorkerKeys } from '@palisade/keys';
import { clickHouseFlowReaders, postgresFlowReaders } from '@palisade/flow-store';
import { clickHouseOf, type Logger } from '@palisade/nest-kit';
import { parseRoot } from '@palisade/bundle';
import {
  createUnitOfWork,
  flowDenyDelta,
  openDatabase,
  postgresAgentRequestQueue,
  postgresOwnerLookup,
  postgresTrustMetadata,
  postgresWorkFinder,
  RedisWakeRelay,
  WakeListener,
  type Wake,
} from '@palisade/store';
import { parseTenantId, systemContext } from '@palisade/tenancy';
import { checkpointSigning } from './audit/sign-checkpoints.ts';
import { FileProgramCatalogue } from './bundles/file-program-catalogue.ts';
import { ImageRepository } from './bundles/image-repository.ts';
import { CandidateValidator } from './bundles/candidate-validator.ts';
import { KernelProgramCheck } from './bundles/program-check.ts';
import { StoredPolicyContent } from './bundles/stored-policy-content.ts';
import { takeRecoveries } from './bundles/take-recoveries.ts';
import type { WorkerConfig } from './config.ts';
import { AgentRequestProcessor } from './enrollment/agent-request-processor.ts';
import { ConfiguredAttestor } from './enrollment/configured-attestor.ts';
import { NodeCertificateAuthority } from './enrollment/node-certificate-authority.ts';
import { flowDelivery } from './flows/flow-delivery.ts';
import { flowConnections, flowHousekeeping } from './flows/flow-housekeeping.ts';
import { Periodic } from './periodic.ts';
import { openPostgresQueue, openRedisQueue } from './rollouts/job-queue.ts';
import { RolloutDispatcher } from './rollouts/rollout-dispatcher.ts';
import { workerRepositories } from './worker-repositories.ts';

const MINUTE_MS = 60_000;
/** Wake-ups that gateways wait for. */
const FOR_GATEWAYS: ReadonlySet<string> = new Set(['agent-outcome', 'desired', 'identities', 'node-state']);

export interface RunningWorker {
  /** Rejects when the database does not answer. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** Opens the database, the keys and the queue, and starts the background work. */
export async function startWorker(config: WorkerConfig, logger: Logger): Promise<RunningWorker> {
  const now = (): Date => new Date();
  const keys = await loadWorkerKeys(config.PALISADE_KEYS_DIR);
  const newestRoot = keys.roots.at(-1);
  if (newestRoot === undefined) throw new Error(`There is no root metadata in ${config.PALISADE_KEYS_DIR}; run the key ceremony first.`);
  const trustDomain = parseRoot(newestRoot).signed.pinned.trustDomain;
  const authority = await NodeCertificateAuthority.open({ chainPem: keys.nodeCa.certificatePem, keyPem: keys.nodeCa.keyPem, trustDomain });
  const source = await openDatabase({ url: config.DATABASE_URL, applicationName: 'palisade-worker', poolSize: 12, onIdleError: (error) => logger.warn({ err: error }, 'an idle database connection broke') });

  const unitOfWork = createUnitOfWork(source, workerRepositories);
  const owners = postgresOwnerLookup(source);
  const work = postgresWorkFinder(source);
  const director = [keys.director];
  const assignWave = new AssignWave({ director, now });
  const images = new ImageRepository(postgresTrustMetadata(source), keys, Date.now);
  const catalogue = new FileProgramCatalogue(config.PALISADE_PROGRAMS_DIR, images);
  const flowPool = flowConnections(config.DATABASE_URL);
  const clickHouse = clickHouseOf(config);
  const flowReaders = clickHouse === undefined ? postgresFlowReaders(flowPool) : await clickHouseFlowReaders(clickHouse, flowPool);
  const validator = new CandidateValidator({ unitOfWork, programs: new KernelProgramCheck(), flows: flowReaders.reader, now });
  const sealBundle = new SealBundle({ unitOfWork, programs: catalogue, policies: new StoredPolicyContent(unitOfWork), validator, director, now });
  const advance = new AdvanceRollout({ unitOfWork, sealBundle, assignWave, denyDelta: flowDenyDelta(source) });
  const reports = new ProcessEndpointReports({ unitOfWork, director });
  const acts = new AuditLocalActs({ unitOfWork });
  const openEpoch = new OpenEpoch({ unitOfWork });
  const newcomers = new Map<string, { tenantId: string; clusterId: string }>();

  const dispatcher = new RolloutDispatcher({
    openQueue: (options) => (config.REDIS_URL === undefined ? openPostgresQueue(config.QUEUE_DATABASE_URL ?? config.DATABASE_URL, options) : openRedisQueue(config.REDIS_URL, options)),
    work,
    advance,
    logger,
    perTenant: config.PALISADE_TENANT_JOBS,
    concurrency: 4,
  });
  const queue = postgresAgentRequestQueue(source);
  const processor = new AgentRequestProcessor({
    queue,
    enroll: new EnrollNode({ unitOfWork, owners, authority, attestor: ConfiguredAttestor.open(config.PALISADE_ATTESTATION_FILE), now }),
    renew: new RenewCertificate({ unitOfWork, authority, now }),
    recover: new RecoverNode({ unitOfWork, owners, authority, now }),
    onEnrolled: (tenantId, clusterId) => {
      newcomers.set(clusterId, { tenantId, clusterId });
      catchUp.wake();
    },
    logger,
  });

  const context = (tenantId: string) => systemContext(parseTenantId(tenantId), 'worker/fleet');
  const processReports = async (): Promise<void> => {
    const waiting = await work.clustersWithReports();
    for (const { tenantId, id } of waiting) while (await reports.execute(context(tenantId), id)) continue;
  };
  const catchUpNewcomers = async (): Promise<void> => {
    const clusters = [...newcomers.values()];
    newcomers.clear();
    for (const { tenantId, clusterId } of clusters) {
      await acts.execute(context(tenantId), clusterId);
      const assigned = await unitOfWork.run(context(tenantId), async ({ rollouts, wakeUp }) => {
        const count = await assignWave.catchUp(context(tenantId), rollouts, clusterId);
        if (count > 0) await wakeUp.notify('desired', { cluster: clusterId });
        return count;
      });
      // Its fact goes into the identity stream even before it reports an endpoint.
      while (await reports.execute(context(tenantId), clusterId)) continue;
      if (assigned > 0) logger.debug({ clusterId, assigned }, 'nodes that came late were given what their cluster runs');
    }
  };
  const sweepClusters = async (): Promise<void> => {
    for (const tenantId of await work.tenants()) {
      const clusters = await unitOfWork.run(context(tenantId), async (r) => (await r.clusters.list({ limit: 500 })).items.map((cluster) => cluster.id));
      for (const clusterId of clusters) newcomers.set(clusterId, { tenantId, clusterId });
    }
    catchUp.wake();
  };

  const every = config.PALISADE_RECONCILE_MS;
  const requests = new Periodic({ name: 'agent requests', everyMs: every, work: () => processor.drain(), logger });
  const outbox = new Periodic({ name: 'outbox', everyMs: every, work: () => dispatcher.dispatchOutbox(), logger });
  const reconciler = new Periodic({ name: 'rollouts', everyMs: every, leastMs: 100, work: () => dispatcher.reconcile(), logger });
  const identities = new Periodic({ name: 'endpoint reports', everyMs: every, leastMs: 50, work: processReports, logger });
  const catchUp = new Periodic({ name: 'late nodes', everyMs: MINUTE_MS, leastMs: 500, work: catchUpNewcomers, logger });
  const sweeps = new Periodic({ name: 'sweep', everyMs: MINUTE_MS, work: async () => { await queue.sweep(); await takeRecoveries(config.PALISADE_KEYS_DIR, newestRoot, openEpoch, logger); await sweepClusters(); }, logger });
  // Agents read metadata before the first rollout, and the timestamp must stay fresh without one.
  const metadata = new Periodic({ name: 'image metadata', everyMs: 60 * MINUTE_MS, work: async () => { await catalogue.current(); }, logger });
  const checkpoints = new Periodic({ name: 'audit checkpoints', everyMs: MINUTE_MS, work: checkpointSigning(source, config.PALISADE_KEYS_DIR, () => work.tenants()), logger });
  const flows = await flowHousekeeping(config.DATABASE_URL, () => work.tenants(), clickHouse);
  const delivery = flowDelivery({ readers: flowReaders, source, allowInternal: config.PALISADE_FLOW_SINKS_INTERNAL });
  const flowSinks = new Periodic({ name: 'flow sinks', everyMs: every, work: () => delivery.run(), logger });
  const flowUpkeep = new Periodic({ name: 'flow housekeeping', everyMs: MINUTE_MS, work: () => flows.run(), logger });
  const background = [requests, outbox, reconciler, identities, catchUp, sweeps, metadata, checkpoints, flowUpkeep, flowSinks];

  await dispatcher.start();
  const relay = config.REDIS_URL === undefined ? undefined : new RedisWakeRelay({ url: config.REDIS_URL, onError: (error) => logger.warn({ err: error }, 'wake-ups cannot be passed on to Redis; gateways look by themselves meanwhile') });
  const listener = new WakeListener({
    url: config.DATABASE_URL,
    applicationName: 'palisade-worker-wake',
    onError: (error) => logger.warn({ err: error }, 'the wake-up connection broke and is opened again'),
    onWake: (wake) => {
      if (FOR_GATEWAYS.has(wake.topic)) relay?.relay(wake);
      for (const periodic of wokenBy(wake, { requests, outbox, reconciler, identities })) periodic.wake();
      const known = wake.topic === 'endpoint-report' || wake.topic === 'observed';
      if (!known || wake.tenant === null || wake.cluster === null) return;
      newcomers.set(wake.cluster, { tenantId: wake.tenant, clusterId: wake.cluster });
      catchUp.wake();
    },
  });
  for (const periodic of background) periodic.wake();
  await listener.start();
  return {
    ping: async () => void (await source.query('SELECT 1')),
    async close() {
      await listener.close();
      relay?.close();
      await Promise.all(background.map((periodic) => periodic.stop()));
      await dispatcher.close();
      await flows.close();
      await flowReaders.close();
      await flowPool.end();
      await source.destroy();
    },
  };
}

interface Wakeable {
  readonly requests: Periodic;
  readonly outbox: Periodic;
  readonly reconciler: Periodic;
  readonly identities: Periodic;
}

function wokenBy(wake: Wake, { requests, outbox, reconciler, identities }: Wakeable): readonly Periodic[] {
  switch (wake.topic) {
    case 'agent-request':
      return [requests];
    case 'outbox':
      return [outbox];
    case 'observed':
      return [reconciler];
    case 'endpoint-report':
      return [identities];
    case 'missed':
      return [requests, outbox, reconciler, identities];
    default:
      return [];
  }
}
