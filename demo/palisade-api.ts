import { readFileSync } from 'node:fs';

/** The demo's own view of the API's answers: only what it reads. */
export interface ClusterView {
  readonly id: string;
  readonly name: string;
  readonly policyRevision: number;
}

export interface NodeView {
  readonly id: string;
  readonly name: string;
  readonly arch: string;
  readonly state: string;
  /** What the node said at its last check-in, read back from its kernel. */
  readonly observed: {
    readonly contentDigest: string | null;
    readonly generation: string | null;
    readonly state: string;
    readonly reason: string;
    readonly endpointsProtected: number;
    readonly endpointsUnprotected: number;
    readonly seenAt: string;
  } | null;
}

export interface PolicyView {
  readonly id: string;
  readonly name: string;
}

export interface WaveView {
  readonly index: number;
  readonly name: string;
  readonly state: string;
  readonly size: number;
}

export interface RolloutView {
  readonly id: string;
  readonly state: string;
  readonly reason: string | null;
  readonly policyRevision: number;
  readonly generation: string | null;
  /** By architecture; empty until the bundle is sealed. */
  readonly contentDigests: Readonly<Record<string, string>>;
  readonly createdAt: string;
}

export interface RolloutDetailView extends RolloutView {
  readonly waves: readonly WaveView[];
}

export interface FlowEndView {
  readonly address: string;
  readonly port: number;
  readonly identity: number;
  readonly namespace?: string;
  readonly workload?: string;
  readonly labels: readonly string[];
}

export interface FlowView {
  readonly id: string;
  readonly event: string;
  readonly verdict: string;
  readonly dropReason?: string;
  readonly direction: string;
  readonly isReply: boolean;
  readonly node: string;
  readonly source: FlowEndView;
  readonly destination: FlowEndView;
  readonly policies: readonly { readonly name: string; readonly direction: string; readonly index?: number; readonly revision: number }[];
  readonly lastSeen: string;
}

interface PageView<T> {
  readonly items: readonly T[];
  readonly next?: string;
}

const DEADLINE_MS = 15_000;

/** A refusal of the API: status, code and the sentence it gave. */
export class ApiRefusal extends Error {
  readonly status: number;

  constructor(method: string, path: string, status: number, body: string) {
    super(`${method} ${path} answered ${status}: ${body}`);
    this.status = status;
  }
}

/** Speaks to the public REST API with an owner token, as any client would. */
export class PalisadeApi {
  readonly #base: string;
  readonly #token: string;

  constructor(base: string, tokenFile: string) {
    this.#base = base;
    this.#token = readFileSync(tokenFile, 'utf8').trim();
  }

  async findOrCreateCluster(name: string): Promise<ClusterView> {
    const known = (await this.#all<ClusterView>('/v1/clusters')).find((cluster) => cluster.name === name);
    return known ?? this.#send<ClusterView>('POST', '/v1/clusters', { name });
  }

  /** @returns the token's secret form, which the API shows this once. */
  async createEnrollmentToken(clusterId: string, name: string, maxUses: number, labels: Readonly<Record<string, string>>): Promise<string> {
    const answer = await this.#send<{ readonly token: string }>('POST', `/v1/clusters/${clusterId}/enrollment-tokens`, { name, maxUses, labels });
    return answer.token;
  }

  nodes(clusterId: string): Promise<readonly NodeView[]> {
    return this.#all<NodeView>(`/v1/clusters/${clusterId}/nodes`);
  }

  policies(clusterId: string): Promise<readonly PolicyView[]> {
    return this.#all<PolicyView>(`/v1/clusters/${clusterId}/policies`);
  }

  /** @returns the revision that the apply made. */
  async applyPolicies(clusterId: string, documents: string): Promise<number> {
    const { revision } = await this.#send<{ readonly revision: number }>('POST', `/v1/clusters/${clusterId}/policies`, { documents });
    return revision;
  }

  async deletePolicy(clusterId: string, policyId: string): Promise<void> {
    await this.#send('DELETE', `/v1/clusters/${clusterId}/policies/${policyId}`);
  }

  createRollout(clusterId: string, request: object): Promise<RolloutView> {
    return this.#send<RolloutView>('POST', `/v1/clusters/${clusterId}/rollouts`, request);
  }

  rollout(clusterId: string, id: string): Promise<RolloutDetailView> {
    return this.#send<RolloutDetailView>('GET', `/v1/clusters/${clusterId}/rollouts/${id}`);
  }

  rollouts(clusterId: string): Promise<readonly RolloutView[]> {
    return this.#all<RolloutView>(`/v1/clusters/${clusterId}/rollouts`);
  }

  /** @returns the rollout that undoes this one. */
  rollBack(clusterId: string, id: string): Promise<RolloutView> {
    return this.#send<RolloutView>('POST', `/v1/clusters/${clusterId}/rollouts/${id}/rollback`);
  }

  /** One page, newest first. Query fields as the OpenAPI document names them. */
  async flows(clusterId: string, query: Readonly<Record<string, string>>): Promise<readonly FlowView[]> {
    const page = await this.#send<PageView<FlowView>>('GET', `/v1/clusters/${clusterId}/flows?${new URLSearchParams(query).toString()}`);
    return page.items;
  }

  async #all<T>(path: string): Promise<readonly T[]> {
    const items: T[] = [];
    let cursor: string | undefined;
    do {
      const query: string = cursor === undefined ? '' : `?cursor=${encodeURIComponent(cursor)}`;
      const page: PageView<T> = await this.#send<PageView<T>>('GET', `${path}${query}`);
      items.push(...page.items);
      cursor = page.next;
    } while (cursor !== undefined);
    return items;
  }

  async #send<T>(method: string, path: string, body?: object): Promise<T> {
    const response = await fetch(`${this.#base}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.#token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
    const text = await response.text();
    if (!response.ok) throw new ApiRefusal(method, path, response.status, text);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }
}
