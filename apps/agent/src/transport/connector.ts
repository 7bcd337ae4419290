import { createPrivateKey, X509Certificate } from 'node:crypto';
import { restoreTrust, storedTrust, type TrustedState } from '@palisade/bundle';
import type { AttestationSource } from '../enrollment/attestation-evidence.ts';
import { enroll, enrollmentKey, type NodeFeatures } from '../enrollment/enroll.ts';
import { recoverCertificate } from '../enrollment/renew.ts';
import type { Log } from '../log.ts';
import type { AgentState, NodeRecord } from '../state/agent-state.ts';
import { bootstrapTrust, followRoots, TrustRefused } from '../trust/root-chain.ts';
import { GatewayUnreachable, type GatewayRequests } from './gateway-requests.ts';
import { GatewaySession } from './gateway-session.ts';

export interface ConnectorPorts {
  readonly gateway: string;
  readonly state: AgentState;
  readonly now: () => number;
  readonly log: Log;
}

const RECOVERY_INTERVAL_MS = 5 * 60_000;

/** Makes connections of the three kinds the agent uses: unverified (root metadata only), server-verified, and mTLS. */
export class Connector {
  readonly #ports: ConnectorPorts;
  #recoveredAtMs = -Infinity;

  constructor(ports: ConnectorPorts) {
    this.#ports = ports;
  }

  /** Trust from disk; undefined on a new node. @throws TrustRefused when the root on disk is damaged */
  storedTrust(): TrustedState | undefined {
    const stored = this.#ports.state.trust();
    if (stored === undefined) return undefined;
    const restored = restoreTrust(stored);
    if (!restored.ok) throw new TrustRefused(restored);
    return restored.state;
  }

  /** Trust by the pin, made durable. @throws TrustRefused, GatewayUnreachable, GatewayRefused */
  async bootstrapTrust(pin: string): Promise<TrustedState> {
    const trusted = await this.#unverified((gateway) => bootstrapTrust(gateway, pin, this.#ports.now()));
    this.#ports.state.saveTrust(storedTrust(trusted));
    return trusted;
  }

  /** The root chain proves itself, so it may be followed even when the gateway's CA is one we do not know yet. */
  async followRootsUnverified(trusted: TrustedState): Promise<TrustedState> {
    const newest = await this.#unverified((gateway) => followRoots(gateway, trusted));
    if (newest !== trusted) this.#ports.state.saveTrust(storedTrust(newest));
    return newest;
  }

  /** @throws GatewayRefused, GatewayUnreachable, TrustRefused */
  enroll(trusted: TrustedState, token: string, node: NodeFeatures, sources: readonly AttestationSource[]): Promise<NodeRecord> {
    return this.#serverVerified(trusted, (gateway) => enroll(gateway, this.#ports.state, trusted, token, node, sources));
  }

  /** mTLS with the node's certificate; one that has expired is recovered first. @throws GatewayRefused, GatewayUnreachable */
  async connect(trusted: TrustedState, node: NodeRecord, signal: AbortSignal): Promise<{ readonly session: GatewaySession; readonly node: NodeRecord }> {
    const key = enrollmentKey(this.#ports.state);
    let current = node;
    if (Date.parse(new X509Certificate(node.certificateChainPem).validTo) <= this.#ports.now()) current = (await this.recover(trusted, node)) ?? node;
    const session = await GatewaySession.connect(
      {
        gateway: this.#ports.gateway,
        gatewayCas: trusted.root.signed.pinned.gatewayCas,
        client: { certificateChainPem: current.certificateChainPem, privateKeyPem: createPrivateKey(key.privateKeyPem).export({ type: 'pkcs8', format: 'pem' }) as string },
      },
      signal,
    );
    return { session, node: current };
  }

  /**
   * Not more than once in a while: a clock that is days ahead finds every certificate expired.
   * @returns undefined when the last recovery is too recent
   * @throws GatewayRefused, GatewayUnreachable
   */
  async recover(trusted: TrustedState, node: NodeRecord): Promise<NodeRecord | undefined> {
    const now = this.#ports.now();
    if (now - this.#recoveredAtMs < RECOVERY_INTERVAL_MS) return undefined;
    this.#ports.log.warn('the node certificate is not accepted; recovering it with the enrolled key');
    return this.#serverVerified(trusted, (gateway) => {
      this.#recoveredAtMs = now; // somebody who is the gateway answered: not so soon again
      return recoverCertificate(gateway, this.#ports.state, trusted, node, enrollmentKey(this.#ports.state));
    });
  }

  async #serverVerified<T>(trusted: TrustedState, work: (gateway: GatewayRequests) => Promise<T>): Promise<T> {
    return this.#with(await GatewaySession.connect({ gateway: this.#ports.gateway, gatewayCas: trusted.root.signed.pinned.gatewayCas }), work);
  }

  async #unverified<T>(work: (gateway: GatewayRequests) => Promise<T>): Promise<T> {
    return this.#with(await GatewaySession.connect({ gateway: this.#ports.gateway }), work);
  }

  async #with<T>(session: GatewaySession, work: (gateway: GatewayRequests) => Promise<T>): Promise<T> {
    try {
      return await work(session);
    } finally {
      session.close();
    }
  }
}

/** TLS alert 45: the gateway's clock says that our certificate has expired. */
export function saysExpired(error: unknown): boolean {
  return error instanceof GatewayUnreachable && /certificate expired/i.test(`${error.message} ${String((error.cause as Error | undefined)?.message)}`);
}
