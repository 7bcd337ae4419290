import { DomainError } from '@palisade/errors';

/** Streams open at once of one kind, by default, and of one tenant; each one polls the database. */
const MAX_STREAMS = 200;
const MAX_TENANT_STREAMS = 20;

/** Counts open streams, so that followers cannot use up the database's connections. */
export class OpenStreams {
  readonly #open = new Map<string, number>();
  readonly #most: number;

  /** @param most streams at once of all tenants, in this process */
  constructor(most = MAX_STREAMS) {
    this.#most = most;
  }

  /** @returns what gives the place back @throws DomainError `request.rate-limited` */
  admit(tenantId: string): () => void {
    const own = this.#open.get(tenantId) ?? 0;
    const all = [...this.#open.values()].reduce((sum, count) => sum + count, 0);
    if (own >= MAX_TENANT_STREAMS || all >= this.#most) {
      throw new DomainError('request.rate-limited', 'Too many event streams are open; close one, or try again later.', { params: { retryAfterSeconds: 10 } });
    }
    this.#open.set(tenantId, own + 1);
    return () => {
      const left = (this.#open.get(tenantId) ?? 1) - 1;
      if (left > 0) this.#open.set(tenantId, left);
      else this.#open.delete(tenantId);
    };
  }
}
