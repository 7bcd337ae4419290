import { GatewayRefused, GatewayUnreachable, type GatewayAnswer, type GatewayRequest, type GatewayRequests } from './gateway-requests.ts';
import type { GatewaySession } from './gateway-session.ts';

/** The agent's one connection as its loops see it: whichever session is open now. Remembers when the other side was heard. */
export class CurrentGateway implements GatewayRequests {
  readonly #now: () => number;
  #session: GatewaySession | undefined;
  #lastHeardMs = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** When anything was heard from the control plane's side, Unix ms; 0: never. */
  get lastHeardMs(): number {
    return this.#lastHeardMs;
  }

  get connected(): boolean {
    return this.#session?.open === true;
  }

  use(session: GatewaySession | undefined): void {
    if (this.#session !== session) this.#session?.close();
    this.#session = session;
    if (session !== undefined) this.heard();
  }

  heard(): void {
    this.#lastHeardMs = this.#now();
  }

  async request(request: GatewayRequest): Promise<GatewayAnswer> {
    if (this.#session === undefined) throw new GatewayUnreachable('there is no connection to the gateway', { pathWorks: false });
    try {
      const answer = await this.#session.request(request);
      this.heard();
      return answer;
    } catch (error) {
      if (error instanceof GatewayRefused) this.heard();
      throw error;
    }
  }
}
