import { createPrivateKey } from 'node:crypto';
import { canonicalJsonText, localSigner, sealEndpointReport, sha256Hex, type JsonValue, type Signer } from '@palisade/bundle';
import type { EndpointSource } from './endpoint-source.ts';

/** Signs endpoint reports with the node's key, and knows which content the control plane has. */
export class EndpointReporter {
  readonly #signer: Signer;
  readonly #nodeId: string;
  readonly #bootId: string;
  readonly #boot: number;
  readonly #source: EndpointSource;
  #acknowledged = '';
  #sequence = 0;

  constructor(options: { readonly privateKeyPem: string; readonly nodeId: string; readonly bootId: string; readonly boot: number; readonly source: EndpointSource }) {
    this.#signer = localSigner(createPrivateKey(options.privateKeyPem));
    this.#nodeId = options.nodeId;
    this.#bootId = options.bootId;
    this.#boot = options.boot;
    this.#source = options.source;
  }

  /** The control plane asked for the report again. */
  forget(): void {
    this.#acknowledged = '';
  }

  get due(): boolean {
    return this.#digest() !== this.#acknowledged;
  }

  /** A signed report where one is due; `acknowledge` it when the check-in that carried it was answered. */
  async next(): Promise<{ readonly envelope: Uint8Array; readonly digest: string } | undefined> {
    const digest = this.#digest();
    if (digest === this.#acknowledged) return undefined;
    this.#sequence += 1;
    const { endpoints, services } = this.#source.current;
    const report = { nodeId: this.#nodeId, bootId: this.#bootId, boot: this.#boot, sequence: this.#sequence, endpoints: endpoints.map((endpoint) => endpoint.report), services };
    return { envelope: await sealEndpointReport(report, this.#signer), digest };
  }

  acknowledge(digest: string): void {
    this.#acknowledged = digest;
  }

  #digest(): string {
    const { endpoints, services } = this.#source.current;
    return sha256Hex(canonicalJsonText({ endpoints: endpoints.map((endpoint) => endpoint.report), services } as unknown as JsonValue));
  }
}
