import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { storedTrust, trustedEpoch, type NodeContext, type TrustedState } from '@palisade/bundle';
import type { LocalEndpoint, ServiceAddress } from '@palisade/dataplane';
import type { CheckInResponse } from '@palisade/protocol';
import { serviceAddresses, assignSlots, type EndpointSource } from './endpoints/endpoint-source.ts';
import { EndpointReporter } from './endpoints/endpoint-reporter.ts';
import { BreakGlass } from './break-glass/break-glass.ts';
import { BundleIntake, downloadDelayMs } from './check-in/bundle-intake.ts';
import { CheckInLoop, type CheckInDraft } from './check-in/check-in-loop.ts';
import { News } from './check-in/news.ts';
import { agentVersion, describeNode, nodeArch } from './check-in/node-description.ts';
import { ObservationSigner } from './check-in/observation-signer.ts';
import { encodeObservation, type Observation } from './check-in/observe.ts';
import { certificateTimes, renewalTimeMs, renewCertificate } from './enrollment/renew.ts';
import { enrollmentKey } from './enrollment/enroll.ts';
import type { Enforcer, KernelFeatures } from './enforcer/enforcer.ts';
import { BundleExecutor, reasonOf } from './executor/bundle-executor.ts';
import type { ResolveNode } from './executor/resolve-node.ts';
import { FlowPipeline } from './flows/flow-pipeline.ts';
import { gatewayFlowChannel } from './flows/gateway-flow-channel.ts';
import { IdentityReplica } from './identities/identity-replica.ts';
import type { Log } from './log.ts';
import type { AgentState, NodeRecord } from './state/agent-state.ts';
import { Backoff } from './transport/backoff.ts';
import { Connector, saysExpired } from './transport/connector.ts';
import { CurrentGateway } from './transport/current-gateway.ts';
import { delay } from './transport/delay.ts';
import { GatewayRefused, GatewayUnreachable } from './transport/gateway-requests.ts';
import { refreshEpoch } from './trust/refresh-metadata.ts';
import { followRoots, TrustRefused } from './trust/root-chain.ts';

export interface AgentPorts {
  readonly state: AgentState;
  readonly connector: Connector;
  readonly enforcer: Enforcer;
  readonly kernel: KernelFeatures;
  readonly resolve: ResolveNode;
  readonly endpoints: EndpointSource;
  readonly now: () => number;
  readonly timings: AgentTimings;
  readonly log: Log;
}

/** All in milliseconds. */
export interface AgentTimings {
  /** How long a check-in may be held. */
  readonly holdMs: number;
  /** How long a new bundle is watched before it is reported healthy. */
  readonly healthWindowMs: number;
  /** Without contact for this long after a switch the node goes back. */
  readonly commitTimeoutMs: number;
  /** How often local things are looked at: trials, endpoint file, break-glass. */
  readonly tickMs: number;
}

export const DEFAULT_TIMINGS: AgentTimings = { holdMs: 50_000, healthWindowMs: 10_000, commitTimeoutMs: 120_000, tickMs: 250 };

/** What is on this node; the same object while nothing changes. */
interface LocalPart {
  readonly endpoints: readonly LocalEndpoint[];
  readonly services: readonly ServiceAddress[];
}

const RENEWAL_RETRY_MS = 5 * 60_000;

/** An enrolled node at work: the check-in loop, the flow loop, the local ticks, and one executor under them. */
export class Agent {
  readonly #ports: AgentPorts;
  readonly #bootId = randomUUID();
  readonly #news = new News();
  readonly #gateway: CurrentGateway;
  readonly #identities: IdentityReplica;
  readonly #executor: BundleExecutor;
  readonly #intake: BundleIntake;
  readonly #reporter: EndpointReporter;
  readonly #observer: ObservationSigner;
  readonly #breakGlass: BreakGlass;
  readonly #loop: CheckInLoop;
  #local: LocalPart = { endpoints: [], services: [] };
  #trusted: TrustedState;
  #node: NodeRecord;
  #renewAtMs: number;
  /** Aborted by the news of an interface: the local tick does not wait then. */
  #nudge = new AbortController();

  constructor(ports: AgentPorts, trusted: TrustedState, node: NodeRecord) {
    const { state, now, log } = ports;
    this.#ports = ports;
    this.#trusted = trusted;
    this.#node = node;
    this.#renewAtMs = renewalTimeMs(certificateTimes(node), Math.random());
    this.#gateway = new CurrentGateway(now);
    this.#identities = new IdentityReplica(state, node);
    this.#executor = new BundleExecutor({
      state,
      enforcer: ports.enforcer,
      resolve: ports.resolve,
      nodeName: node.nodeName,
      facts: () => this.#identities.facts,
      endpoints: () => this.#local,
      lastHeardMs: () => this.#gateway.lastHeardMs,
      now,
      healthWindowMs: ports.timings.healthWindowMs,
      commitTimeoutMs: ports.timings.commitTimeoutMs,
      log,
    });
    this.#intake = new BundleIntake({
      state,
      executor: this.#executor,
      identities: this.#identities,
      node: () => this.#context(),
      trusted: () => this.#trusted,
      remember: (next) => this.#remember(next),
      downloadDelayMs: () => downloadDelayMs(this.#loop.reconnectWindowMs, Math.random()),
      now,
      log,
    });
    const { privateKeyPem } = enrollmentKey(state);
    const speaker = { privateKeyPem, nodeId: node.nodeId, bootId: this.#bootId, boot: state.countBoot(now()) };
    this.#reporter = new EndpointReporter({ ...speaker, source: ports.endpoints });
    this.#observer = new ObservationSigner(speaker);
    this.#breakGlass = new BreakGlass({ state, executor: this.#executor, now, log });
    this.#loop = new CheckInLoop({
      gateway: this.#gateway,
      news: this.#news,
      draft: (ackToken, holdMs) => this.#draft(ackToken, holdMs),
      handle: (response) => this.#handle(response),
      before: () => this.#renewIfDue(),
      holdMs: ports.timings.holdMs,
      log,
    });
  }

  /** Runs until the signal. What is pinned keeps enforcing afterwards. */
  async run(stop: AbortSignal): Promise<void> {
    this.#ports.endpoints.refresh();
    this.#local = this.#readLocal();
    await this.#executor.adopt();
    const unwatch = this.#ports.enforcer.watch(() => this.#nudge.abort());
    const flows = this.#flowPipeline();
    flows.start();
    await Promise.all([this.#stayConnected(stop), this.#tick(stop)]);
    unwatch();
    await flows.stop();
    this.#gateway.use(undefined);
    await this.#executor.close();
  }

  #flowPipeline(): FlowPipeline {
    const { enforcer, state, log } = this.#ports;
    return new FlowPipeline({
      events: enforcer,
      channel: gatewayFlowChannel(() => (this.#gateway.connected ? this.#gateway : undefined)),
      knowledge: () => ({
        nodeName: this.#node.nodeName,
        endpoints: this.#local.endpoints,
        ...(this.#identities.facts && { facts: this.#identities.facts }),
        ...(this.#executor.resolved && { resolved: this.#executor.resolved.live }),
        generation: this.#executor.generation ?? '',
      }),
      folder: join(state.dir, 'flows'),
      log: (message) => log.warn(message),
    });
  }

  async #stayConnected(stop: AbortSignal): Promise<void> {
    const backoff = new Backoff();
    const { log, connector } = this.#ports;
    while (!stop.aborted) {
      let retryAfterMs = 0;
      try {
        const { session, node } = await connector.connect(this.#trusted, this.#node, stop);
        this.#takeNode(node);
        this.#gateway.use(session);
        this.#news.put();
        log.info('connected to the gateway');
        await this.#loop.run(stop, () => backoff.reset());
        continue; // a renewed certificate: connect again at once
      } catch (error) {
        if (stop.aborted) return;
        retryAfterMs = await this.#afterLoss(error);
      }
      this.#gateway.use(undefined);
      const { reconnectWindowMs } = this.#loop;
      await delay(backoff.next({ retryAfterMs, ...(reconnectWindowMs !== undefined && { windowMs: reconnectWindowMs }) }), stop);
    }
  }

  /** @returns what the gateway asked us to wait */
  async #afterLoss(error: unknown): Promise<number> {
    const { log, connector } = this.#ports;
    log.warn('no connection to the gateway; what is loaded keeps enforcing', { reason: reasonOf(error) });
    try {
      if (error instanceof GatewayRefused) {
        this.#gateway.heard();
        if (error.status === 401) await this.#recover();
        return error.retryAfterMs;
      }
      if (!(error instanceof GatewayUnreachable)) return 0;
      if (error.pathWorks) this.#gateway.heard();
      if (error.untrusted) this.#trusted = await connector.followRootsUnverified(this.#trusted);
      else if (saysExpired(error)) await this.#recover();
    } catch (second) {
      log.warn('recovering the connection failed', { reason: reasonOf(second) });
    }
    return 0;
  }

  async #recover(): Promise<void> {
    const node = await this.#ports.connector.recover(this.#trusted, this.#node);
    if (node !== undefined) this.#takeNode(node);
  }

  async #tick(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      const nudged = this.#nudge.signal.aborted;
      if (nudged) this.#nudge = new AbortController();
      try {
        if (await this.#executor.judge()) this.#news.put();
        if (await this.#breakGlass.follow()) this.#news.put();
        if (this.#ports.endpoints.refresh()) {
          this.#local = this.#readLocal();
          this.#news.put();
          await this.#executor.reconcile();
        } else if (nudged) {
          await this.#executor.reconcile();
          this.#news.put();
        }
        if (this.#executor.retryDue) await this.#retry();
      } catch (error) {
        this.#ports.log.error('a local change could not be carried out', { reason: reasonOf(error) });
      }
      await delay(this.#ports.timings.tickMs, stop, this.#nudge.signal);
    }
  }

  async #retry(): Promise<void> {
    const { reason } = this.#executor.report;
    await this.#executor.reconcile();
    if (this.#executor.report.reason !== reason) this.#news.put();
  }

  async #draft(ackToken: string, holdMs: number): Promise<CheckInDraft> {
    const { state, enforcer } = this.#ports;
    const acts = state.localActs();
    const report = await this.#reporter.next();
    const running = await this.#executor.running();
    const { droppedPackets } = await enforcer.counters();
    const missing = this.#local.endpoints.filter((endpoint) => !running.endpoints.some((known) => known.key === endpoint.key));
    const observation: Observation = {
      running: { ...running, endpoints: [...running.endpoints, ...missing.map(({ key }) => ({ key, protected: false, reason: 'not part of what the kernel runs' }))] },
      report: this.#intake.report,
      lastKnownGood: this.#executor.lastKnownGood?.generation,
      deniedPackets: droppedPackets,
      disabledUntilMs: state.disabledUntilMs() ?? 0,
      localActs: [...acts.values()],
    };
    return {
      request: {
        ackToken,
        bootId: this.#bootId,
        observed: encodeObservation(observation),
        observation: await this.#observer.sign(observation),
        versions: { root: BigInt(this.#trusted.root.signed.version), identityRevision: BigInt(this.#identities.revision) },
        node: describeNode(this.#ports.kernel, this.#node.nodeName),
        ...(report && { endpointReport: report.envelope }),
        holdMs: report === undefined ? holdMs : 0,
      },
      accepted: () => {
        for (const name of acts.keys()) state.removeLocalAct(name);
        if (report !== undefined) this.#reporter.acknowledge(report.digest);
      },
    };
  }

  async #handle(response: CheckInResponse): Promise<void> {
    if (response.rootVersion > BigInt(this.#trusted.root.signed.version)) await this.#refuseSoftly(async () => this.#remember(await followRoots(this.#gateway, this.#trusted)));
    if (response.epoch > trustedEpoch(this.#trusted)) await this.#refuseSoftly(async () => this.#remember(await refreshEpoch(this.#gateway, this.#trusted, this.#node)));
    for (const action of response.actions) {
      if (action.kind.case === 'renewCertificate') this.#renewAtMs = 0;
      if (action.kind.case === 'reportEndpoints') {
        this.#reporter.forget();
        this.#news.put();
      }
    }
    if (this.#identities.behind(response.identityRevision, this.#trusted)) await this.#followIdentities();
    if (response.desired !== undefined && (await this.#intake.take(this.#gateway, response.desired))) this.#news.put();
  }

  async #followIdentities(): Promise<void> {
    await this.#refuseSoftly(async () => {
      try {
        if (!(await this.#identities.catchUp(this.#gateway, this.#trusted))) return;
      } catch (error) {
        if (error instanceof GatewayRefused && error.status === 404) return; // there is no snapshot of this cluster yet
        throw error;
      }
      this.#news.put();
      await this.#executor.reconcile();
    });
  }

  /** Signed things that are refused change nothing and stop nothing: the node goes on with what it has. */
  async #refuseSoftly(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof TrustRefused)) throw error;
      this.#ports.log.error('something signed was refused; what is known stays', { reason: error.message });
    }
  }

  async #renewIfDue(): Promise<boolean> {
    const { now, state, log } = this.#ports;
    if (now() < this.#renewAtMs) return false;
    this.#renewAtMs = now() + RENEWAL_RETRY_MS;
    try {
      this.#takeNode(await renewCertificate(this.#gateway, state, this.#trusted, this.#node, enrollmentKey(state)));
      log.info('the node certificate was renewed');
      return true;
    } catch (error) {
      if (error instanceof GatewayUnreachable) throw error;
      log.error('the node certificate could not be renewed', { reason: reasonOf(error) });
      return false;
    }
  }

  #takeNode(node: NodeRecord): void {
    if (node === this.#node) return;
    this.#node = node;
    // A clock that is far off must not make every certificate due at once.
    this.#renewAtMs = Math.max(renewalTimeMs(certificateTimes(node), Math.random()), this.#ports.now() + RENEWAL_RETRY_MS);
  }

  #remember(next: TrustedState): void {
    if (next === this.#trusted) return;
    this.#ports.state.saveTrust(storedTrust(next));
    this.#trusted = next;
  }

  #readLocal(): LocalPart {
    const file = this.#ports.endpoints.current;
    return { endpoints: assignSlots(file, this.#ports.state), services: serviceAddresses(file) };
  }

  #context(): NodeContext {
    const { kernel } = this.#ports;
    const { tenantId, clusterId, nodeId } = this.#node;
    return { tenantId, clusterId, nodeId, arch: nodeArch(), agentVersion: agentVersion(), kernelRelease: kernel.kernelRelease, kernelFeatures: kernel.features };
  }
}
