/** The calls of the API that driving a fleet needs. */
export class ApiClient {
  readonly #url: string;
  readonly #token: string;

  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  async call<T>(method: 'GET' | 'POST' | 'DELETE' | 'PATCH', path: string, body?: unknown): Promise<T> {
    const response = await fetch(`${this.#url}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.#token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(30_000),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return JSON.parse(text) as T;
  }

  createCluster(name: string): Promise<{ readonly id: string }> {
    return this.call('POST', '/v1/clusters', { name });
  }

  async enrollmentToken(clusterId: string, maxUses: number): Promise<string> {
    const { token } = await this.call<{ token: string }>('POST', `/v1/clusters/${clusterId}/enrollment-tokens`, { name: 'fleet', maxUses, expiresInSeconds: 3600 });
    return token;
  }

  createRollout(clusterId: string, input: object): Promise<RolloutView> {
    return this.call('POST', `/v1/clusters/${clusterId}/rollouts`, input);
  }

  rollout(clusterId: string, id: string): Promise<RolloutView> {
    return this.call('GET', `/v1/clusters/${clusterId}/rollouts/${id}`);
  }

  /** All nodes of a rollout, page by page. */
  async rolloutNodes(clusterId: string, id: string): Promise<readonly RolloutNodeView[]> {
    const nodes: RolloutNodeView[] = [];
    for (let cursor = ''; ; ) {
      const page = await this.call<{ items: RolloutNodeView[]; next?: string }>('GET', `/v1/clusters/${clusterId}/rollouts/${id}/nodes?limit=500${cursor}`);
      nodes.push(...page.items);
      if (page.next === undefined) return nodes;
      cursor = `&cursor=${encodeURIComponent(page.next)}`;
    }
  }

  steer(clusterId: string, id: string, command: 'halt' | 'pause' | 'resume' | 'rollback'): Promise<RolloutView> {
    return this.call('POST', `/v1/clusters/${clusterId}/rollouts/${id}/${command}`, {});
  }
}

export interface RolloutView {
  readonly id: string;
  readonly state: string;
  readonly reason: string | null;
  readonly generation: string | null;
  readonly waves?: readonly { readonly index: number; readonly name: string; readonly size: number; readonly state: string; readonly openedAt: string | null; readonly counts: Readonly<Record<string, number>> }[];
}

export interface RolloutNodeView {
  readonly nodeId: string;
  readonly waveIndex: number;
  readonly state: string;
}
