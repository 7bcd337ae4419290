import { createHash, generateKeyPairSync, randomUUID, X509Certificate, type KeyObject } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { SecureContext } from 'node:tls';
import { localSigner, sealEndpointReport, sealNodeObservation, type ObservedBundleState, type ReportedEndpoint, type Signer } from '@palisade/bundle';
import {
  AGENT_ROUTES,
  CheckInRequestSchema,
  CheckInResponseSchema,
  EnrollRequestSchema,
  EnrollResponseSchema,
  manifestPath,
  NodeBundleState,
  RenewRequestSchema,
  RenewResponseSchema,
  type CheckInResponse,
  type Desired,
  type EnrollResponse,
} from '@palisade/protocol';
import { AgentConnection, Refused } from './agent-connection.ts';
import { certificateRequest } from './certificate-request.ts';
import { nodeIdentity } from './gateway-certificate.ts';

/**
 * How an agent misbehaves, by script. Slow: takes its time between offer and health. Silent: stops checking in when a new
 * generation is offered. Failing: reports that the kernel refused the programs. Lying: claims health under a digest that
 * was not offered. Cloned: a second machine runs with a copy of its disk, made before it renewed its certificate.
 */
export const BEHAVIOURS = ['healthy', 'slow', 'silent', 'failing', 'lying', 'cloned'] as const;
export type Behaviour = (typeof BEHAVIOURS)[number];

export interface Gateway {
  /** `https://host:port` */
  readonly url: string;
  /** PEM. */
  readonly ca: string;
}

export interface SimulatedAgentOptions {
  readonly name: string;
  readonly gateway: Gateway;
  readonly behaviour?: Behaviour;
  readonly holdMs?: number;
  /** From the load of a bundle to its health, give or take a half; 0: both at once. */
  readonly healthDelayMs?: number;
  readonly endpoints?: readonly ReportedEndpoint[];
  /** Told of what a measurement needs. */
  readonly onOffer?: (agent: SimulatedAgent, desired: Desired, atMs: number) => void;
  readonly onManifest?: (atMs: number) => void;
  readonly onCheckIn?: (durationMs: number, held: boolean) => void;
  readonly onRefused?: (refused: Refused) => void;
}

interface Running {
  readonly generation: { readonly epoch: bigint; readonly n: bigint };
  readonly contentDigest: string;
}

const STATE_WORDS: Readonly<Record<number, ObservedBundleState>> = {
  [NodeBundleState.UNSPECIFIED]: 'none',
  [NodeBundleState.NONE]: 'none',
  [NodeBundleState.VERIFIED]: 'verified',
  [NodeBundleState.LOADED]: 'loaded',
  [NodeBundleState.HEALTHY]: 'healthy',
  [NodeBundleState.FAILED]: 'failed',
  [NodeBundleState.REVERTED]: 'reverted',
};

/** An agent of the real protocol with a real key and certificate, on a kernel that is made up. */
export class SimulatedAgent {
  readonly name: string;
  readonly bootId = randomUUID();
  readonly enrollmentUuid = randomUUID();
  readonly key: KeyObject;
  enrolled: EnrollResponse | undefined;
  running: Running | undefined;
  behaviour: Behaviour;
  readonly #options: SimulatedAgentOptions;
  readonly #stop = new AbortController();
  #connection: AgentConnection | undefined;
  #ackToken = '';
  #state: NodeBundleState = NodeBundleState.NONE;
  #subject: Running | undefined;
  #reason = '';
  #reconnectWindowMs = 2_000;
  #reported = false;
  #silenced = false;
  #sequence = 0;
  #ownSigner: Signer | undefined;
  #identity: SecureContext | undefined;
  #renewed = false;
  #before: EnrollResponse | undefined;
  /** Checked in at least once on the connection that is open now. */
  #heard = false;

  /** @param key of a disk that was copied; absent: a new one */
  constructor(options: SimulatedAgentOptions, key?: KeyObject) {
    this.#options = options;
    this.name = options.name;
    this.behaviour = options.behaviour ?? 'healthy';
    this.key = key ?? generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  }

  get nodeId(): string {
    return this.enrolled?.nodeId ?? '';
  }

  /** Connected, and heard by the gateway on this connection. */
  get connected(): boolean {
    return this.#heard && this.#connection?.open === true;
  }

  get privateKeyPem(): string {
    return this.key.export({ type: 'pkcs8', format: 'pem' }) as string;
  }

  /** Enrolls over a connection without client certificate, which may be shared by many. @throws Refused */
  async enroll(connection: AgentConnection, token: string): Promise<EnrollResponse> {
    this.enrolled = await connection.call(
      AGENT_ROUTES.enroll.path,
      EnrollRequestSchema,
      { token, enrollmentUuid: this.enrollmentUuid, csr: certificateRequest(this.key), node: this.#description() },
      EnrollResponseSchema,
      30_000,
    );
    return this.enrolled;
  }

  /** The node's certificate and key, for connections. */
  get identity(): SecureContext {
    return (this.#identity ??= nodeIdentity(this.enrolled!.certificateChain, this.privateKeyPem));
  }

  /** A connection with the node's certificate. */
  connect(): Promise<AgentConnection> {
    return AgentConnection.open(this.#options.gateway.url, this.#options.gateway.ca, this.identity);
  }

  /** One check-in on a connection. `holdMs` 0 is answered at once. */
  async checkIn(connection: AgentConnection, holdMs: number): Promise<CheckInResponse> {
    const report = this.#reported || this.#options.endpoints === undefined ? undefined : await this.#endpointReport(this.#options.endpoints);
    const startedMs = Date.now();
    const response = await connection.call(
      AGENT_ROUTES.checkIn.path,
      CheckInRequestSchema,
      {
        ackToken: this.#ackToken,
        bootId: this.bootId,
        observed: {
          ...(this.running && { generation: this.running.generation, contentDigest: this.running.contentDigest }),
          state: this.#state,
          reason: this.#reason,
          ...(this.#subject && { subjectGeneration: this.#subject.generation }),
        },
        observation: await this.#observation(),
        ...(report && { endpointReport: report }),
        holdMs,
      },
      CheckInResponseSchema,
      holdMs + 30_000,
    );
    this.#reported = true;
    this.#options.onCheckIn?.(Date.now() - startedMs, holdMs > 0);
    this.#reconnectWindowMs = response.reconnectWindowMs || 2_000;
    this.#ackToken = response.ackToken;
    return response;
  }

  /** Replaces the certificate. @throws Refused */
  async renew(connection: AgentConnection, key: KeyObject = this.key): Promise<string> {
    const serial = new X509Certificate(this.enrolled!.certificateChain).serialNumber.toLowerCase();
    const { certificateChain } = await connection.call(AGENT_ROUTES.renew.path, RenewRequestSchema, { csr: certificateRequest(key), replacesSerial: serial }, RenewResponseSchema, 30_000);
    return certificateChain;
  }

  /** Checks in for ever and comes back by itself, spread over the window that the gateway named. */
  async run(): Promise<void> {
    let attempt = 0;
    while (!this.#stop.signal.aborted) {
      try {
        this.#connection = await this.connect();
        // The first check-in of a connection is not held: the gateway is to hear of us soon.
        await this.#turn(this.#connection, 0);
        this.#heard = true;
        attempt = 0;
        if (this.behaviour === 'cloned' && (await this.#playCloned(this.#connection))) continue;
        while (!this.#stop.signal.aborted && !this.#silenced) await this.#turn(this.#connection, this.#options.holdMs ?? 50_000);
        this.#connection.close();
        if (this.#silenced) return;
      } catch (error) {
        this.#connection?.close();
        this.#heard = false;
        if (this.#stop.signal.aborted) return;
        if (error instanceof Refused) this.#options.onRefused?.(error);
        if (error instanceof Refused && error.status === 403) return;
        const least = error instanceof Refused ? error.retryAfterMs : 0;
        const span = attempt === 0 ? this.#reconnectWindowMs : Math.min(600_000, 500 * 2 ** attempt);
        attempt += 1;
        await delay(least + Math.random() * span, undefined, { signal: this.#stop.signal }).catch(() => undefined);
      }
    }
  }

  stop(): void {
    this.#stop.abort();
    this.#connection?.close();
  }

  async #turn(connection: AgentConnection, holdMs: number): Promise<void> {
    let response: CheckInResponse;
    try {
      response = await this.checkIn(connection, holdMs);
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 503) throw error;
      this.#options.onRefused?.(error);
      await delay(error.retryAfterMs + Math.random() * 1_000, undefined, { signal: this.#stop.signal });
      return;
    }
    const { desired } = response;
    if (desired === undefined || sameGeneration(desired, this.running) || sameGeneration(desired, this.#subject)) return;
    this.#options.onOffer?.(this, desired, Date.now());
    await this.#load(connection, desired);
  }

  async #load(connection: AgentConnection, desired: Desired): Promise<void> {
    const target: Running = { generation: { epoch: desired.generation!.epoch, n: desired.generation!.n }, contentDigest: desired.contentDigest };
    if (this.behaviour === 'silent') {
      this.#silenced = true;
      return;
    }
    await delay(downloadDelayMs(this.#reconnectWindowMs), undefined, { signal: this.#stop.signal });
    await this.#fetchManifest(connection, desired);
    if (this.behaviour === 'failing') {
      this.#subject = target;
      this.#state = NodeBundleState.FAILED;
      this.#reason = 'The kernel refused program endpoint: invalid access to map value (simulated).';
      return;
    }
    const wait = (this.#options.healthDelayMs ?? 0) * (0.5 + Math.random()) * (this.behaviour === 'slow' ? 20 : 1);
    if (wait > 0) {
      this.running = target;
      this.#state = NodeBundleState.LOADED;
      await this.checkIn(connection, 0);
      await delay(wait, undefined, { signal: this.#stop.signal });
    }
    this.running = this.behaviour === 'lying' ? { ...target, contentDigest: 'f'.repeat(64) } : target;
    this.#subject = undefined;
    this.#state = NodeBundleState.HEALTHY;
    this.#reason = '';
  }

  async #fetchManifest(connection: AgentConnection, desired: Desired): Promise<void> {
    const manifest = await connection.get(manifestPath(desired.manifestSha256));
    if (createHash('sha256').update(manifest).digest('hex') !== desired.manifestSha256) throw new Error(`${this.name} got another manifest than the one that was offered`);
    this.#options.onManifest?.(Date.now());
  }

  /**
   * First the machine renews and connects anew (true), then the copy of its disk tries the same with the certificate that
   * was replaced.
   */
  async #playCloned(connection: AgentConnection): Promise<boolean> {
    if (this.#renewed) {
      const copy = new SimulatedAgent({ ...this.#options, behaviour: 'healthy' }, this.key);
      copy.enrolled = this.#before;
      await copy.#renewAsCopy();
      return false;
    }
    this.#renewed = true;
    this.#before = this.enrolled;
    this.enrolled = { ...this.enrolled!, certificateChain: await this.renew(connection) };
    this.#identity = undefined;
    connection.close();
    return true;
  }

  async #renewAsCopy(): Promise<void> {
    const connection = await this.connect();
    try {
      await this.renew(connection);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.#options.onRefused?.(error);
    } finally {
      connection.close();
    }
  }

  #endpointReport(endpoints: readonly ReportedEndpoint[]): Promise<Uint8Array> {
    return sealEndpointReport({ nodeId: this.nodeId, bootId: this.bootId, boot: 1, sequence: 1, endpoints, services: [] }, this.#signer());
  }

  #observation(): Promise<Uint8Array> {
    this.#sequence += 1;
    return sealNodeObservation(
      {
        nodeId: this.nodeId,
        bootId: this.bootId,
        boot: 1,
        sequence: this.#sequence,
        generation: this.running?.generation ?? null,
        contentDigest: this.running?.contentDigest ?? '',
        state: STATE_WORDS[this.#state] ?? 'none',
        subjectGeneration: this.#subject?.generation ?? null,
        reason: this.#reason,
        deniedPackets: 0n,
      },
      this.#signer(),
    );
  }

  #signer(): Signer {
    this.#ownSigner ??= localSigner(this.key);
    return this.#ownSigner;
  }

  #description() {
    return { hostname: this.name, agentVersion: '0.1.0', arch: process.arch === 'arm64' ? 'arm64' : 'amd64', kernel: { release: '6.1.0', features: ['btf', 'tcx'] }, addresses: [] };
  }
}

/** As agents do: the gateway tells all others first, then they come spread (apps/agent, `bundle-intake.ts`). */
function downloadDelayMs(reconnectWindowMs: number): number {
  return (reconnectWindowMs / 24) * (1 + Math.random());
}

function sameGeneration(desired: Desired, running: Running | undefined): boolean {
  return running !== undefined && desired.generation?.epoch === running.generation.epoch && desired.generation.n === running.generation.n;
}
