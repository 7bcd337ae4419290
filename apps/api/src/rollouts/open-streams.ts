import { DomainError } from '@palisade/errors';

/** Streams open at once in this process, and per tenant; each one polls the database. */
const MAX_STREAMS = 200;
const MAX_TENANT_STREAMS = 20;

/** Counts open streams, so that followers cannot use up the database's connections. */
export class OpenStreams {
  readonly #open = new Map<string, number>();

  /** @returns what gives the place back @throws DomainError `request.rate-limited` */
  admit(tenantId: string): () => void {
    const own = this.#open.get(tenantId) ?? 0;
    const all = [...this.#open.values()].reduce((sum, count) => sum + count, 0);
    if (own >= MAX_TENANT_STREAMS || all >= MAX_STREAMS) {
      throw new DomainError('request.rate-limited', 'Too many rollout streams are open; close one, or poll the events.', { params: { retryAfterSeconds: 10 } });
    }
    this.#open.set(tenantId, own + 1);
    return () => {
      const left = (this.#open.get(tenantId) ?? 1) - 1;
      if (left > 0) this.#open.set(tenantId, left);
      else this.#open.delete(tenantId);
    };
  }
}
