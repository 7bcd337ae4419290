/** Code of an answer that was cut off because it is longer than it may be. */
export const ANSWER_TOO_LARGE = 'answer.too-large';

/** The gateway answered with an error. `retryAfterMs` is what it asked for, 0 where it did not. */
export class GatewayRefused extends Error {
  readonly status: number;
  /** Code of the problem document, empty where there was none. */
  readonly code: string;
  readonly retryAfterMs: number;

  constructor(status: number, code: string, detail: string, retryAfterMs: number) {
    super(detail === '' ? `the gateway answered ${status}` : detail);
    this.name = 'GatewayRefused';
    this.status = status;
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }

  /** 429 and 5xx: the same request may succeed later. Never a reason to revert or to give up a bundle. */
  get transient(): boolean {
    return this.status === 429 || this.status >= 500;
  }
}

/** No answer came. */
export class GatewayUnreachable extends Error {
  /** Something at the other end spoke (connection refused, reset, a TLS alert): packets do travel both ways. */
  readonly pathWorks: boolean;
  /** The server's certificate does not chain to a gateway CA that the root names. */
  readonly untrusted: boolean;

  constructor(message: string, options: { readonly pathWorks: boolean; readonly untrusted?: boolean; readonly cause?: unknown }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'GatewayUnreachable';
    this.pathWorks = options.pathWorks;
    this.untrusted = options.untrusted ?? false;
  }
}

export interface GatewayRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: Uint8Array;
  readonly contentType?: string;
  /** Answers longer than this are cut off and refused. */
  readonly maxBytes: number;
  /** From the first byte sent to the last byte read. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface GatewayAnswer {
  readonly status: number;
  readonly body: Uint8Array;
}

/** Requests over the agent's connection. */
export interface GatewayRequests {
  /** @throws GatewayRefused for any status but 2xx, GatewayUnreachable when no answer came */
  request(request: GatewayRequest): Promise<GatewayAnswer>;
}
