import type { AgentDesk } from '@palisade/control';

const STALE_MS = 10_000;

/** How far each cluster's identity stream is and which root is newest: read once, then kept fresh by wake-ups and age. */
export class ClusterNews {
  readonly #desk: AgentDesk;
  readonly #revisions = new Map<string, { readonly value: Promise<number>; readonly readAtMs: number }>();
  readonly #assignments = new Map<string, Promise<Uint8Array | undefined>>();
  #root: { readonly value: Promise<number>; readonly readAtMs: number } | undefined;

  constructor(desk: AgentDesk) {
    this.#desk = desk;
  }

  identityRevision(tenantId: string, clusterId: string): Promise<number> {
    const known = this.#revisions.get(clusterId);
    if (known !== undefined && Date.now() - known.readAtMs < STALE_MS) return known.value;
    const value = this.#desk.identityRevision(tenantId, clusterId);
    this.#revisions.set(clusterId, { value, readAtMs: Date.now() });
    value.catch(() => this.#revisions.delete(clusterId));
    return value;
  }

  forget(clusterId: string): void {
    this.#revisions.delete(clusterId);
  }

  rootVersion(): Promise<number> {
    if (this.#root !== undefined && Date.now() - this.#root.readAtMs < STALE_MS) return this.#root.value;
    const value = this.#desk.metadata('root', null).then((file) => file?.version ?? 0);
    this.#root = { value, readAtMs: Date.now() };
    value.catch(() => (this.#root = undefined));
    return value;
  }

  /** Envelopes never change; the newest few are what everybody asks for. */
  assignment(tenantId: string, id: string): Promise<Uint8Array | undefined> {
    const known = this.#assignments.get(id);
    if (known !== undefined) return known;
    const value = this.#desk.assignment(tenantId, id);
    this.#assignments.set(id, value);
    value.then((found) => found === undefined && this.#assignments.delete(id), () => this.#assignments.delete(id));
    if (this.#assignments.size > 256) this.#assignments.delete(this.#assignments.keys().next().value!);
    return value;
  }
}
