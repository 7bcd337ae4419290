import { lookup as resolve } from 'node:dns';
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { gzipSync } from 'node:zlib';
import type { FlowSinkAnswer, FlowSinkTransport, LeasedFlowSink } from '@palisade/control';

const TIMEOUT_MS = 10_000;
const MAX_ANSWER = 64 * 1024;
/** OTLP specification, "OTLP/HTTP Response": these may be tried again; so may what a person can put right without the data changing. */
const RETRYABLE = [401, 403, 404, 405, 408, 429, 502, 503, 504];

/** Addresses that a tenant has no business to reach through us (RFC 6890, RFC 4193, RFC 4291). */
const INTERNAL = new BlockList();
for (const [net, bits] of [['0.0.0.0', 8], ['10.0.0.0', 8], ['100.64.0.0', 10], ['127.0.0.0', 8], ['169.254.0.0', 16], ['172.16.0.0', 12], ['192.0.0.0', 24], ['192.168.0.0', 16], ['198.18.0.0', 15], ['224.0.0.0', 3]] as const) INTERNAL.addSubnet(net, bits, 'ipv4');
for (const [net, bits] of [['::', 127], ['64:ff9b::', 96], ['fc00::', 7], ['fe80::', 10], ['ff00::', 8]] as const) INTERNAL.addSubnet(net, bits, 'ipv6');

function isInternal(address: string): boolean {
  // IPv4-mapped addresses are checked as IPv4 by the list itself.
  return INTERNAL.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

/** Names are resolved and judged in one step: an answer that changes in between is judged too. */
const guardedLookup: LookupFunction = (hostname, options, done) => {
  resolve(hostname, { ...options, all: true }, (error, addresses) => {
    const allowed = addresses?.filter(({ address }) => !isInternal(address)) ?? [];
    const [first] = allowed;
    if (error !== null) done(error, '', 0);
    else if (first === undefined) done(new Error(`${hostname} resolves to internal addresses only`), '', 0);
    else if (options.all === true) done(null, allowed);
    else done(null, first.address, first.family);
  });
};

interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** Sends OTLP as JSON, compressed, over HTTP. Follows no redirect. */
export class OtlpHttpTransport implements FlowSinkTransport {
  readonly #allowInternal: boolean;

  /** @param allowInternal whether plain HTTP and internal addresses may be sent to: the operator's decision, not the tenant's */
  constructor(options: { readonly allowInternal: boolean }) {
    this.#allowInternal = options.allowInternal;
  }

  async send(sink: Pick<LeasedFlowSink, 'endpoint' | 'headers'>, signal: 'logs' | 'metrics', body: unknown): Promise<FlowSinkAnswer> {
    try {
      const url = new URL(`${sink.endpoint.replace(/\/+$/, '')}/v1/${signal}`);
      if (!this.#allowInternal) {
        const host = url.hostname.replace(/^\[|\]$/g, '');
        if (url.protocol !== 'https:') return { kind: 'failed', rejected: 0, message: 'The endpoint must be https: this installation does not send in the clear.' };
        if (isIP(host) !== 0 && isInternal(host)) return { kind: 'failed', rejected: 0, message: 'The endpoint is an internal address: this installation sends to public ones only.' };
      }
      return judge(await this.#post(url, sink.headers, gzipSync(JSON.stringify(body))));
    } catch (error) {
      return { kind: 'failed', rejected: 0, message: `Sending failed: ${error instanceof Error ? error.message || (error as NodeJS.ErrnoException).code || error.name : String(error)}` };
    }
  }

  #post(url: URL, headers: Readonly<Record<string, string>>, body: Buffer): Promise<HttpAnswer> {
    const options: RequestOptions = {
      method: 'POST', signal: AbortSignal.timeout(TIMEOUT_MS), ...(this.#allowInternal ? {} : { lookup: guardedLookup }),
      headers: { ...headers, 'content-type': 'application/json', 'content-encoding': 'gzip', 'content-length': body.length, 'user-agent': 'palisade-otlp/1' },
    };
    return new Promise((done, fail) => {
      const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, options, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          if (text.length < MAX_ANSWER) text += chunk;
        });
        response.once('end', () => done({ status: response.statusCode ?? 0, headers: response.headers, body: text }));
        response.once('error', fail);
      });
      request.once('error', fail);
      request.end(body);
    });
  }
}

/** What an answer means (OTLP specification, "OTLP/HTTP Response"). */
export function judge({ status, headers, body }: HttpAnswer): FlowSinkAnswer {
  if (status >= 200 && status < 300) return partialSuccess(body);
  const message = `The receiver answered ${status}${body === '' ? '' : `: ${body.slice(0, 200)}`}`;
  if (RETRYABLE.includes(status) || status >= 500 || (status >= 300 && status < 400)) {
    const seconds = Number(headers['retry-after']);
    return { kind: 'failed', rejected: 0, message, ...(Number.isFinite(seconds) && seconds > 0 ? { retryAfterMs: Math.min(seconds, 3600) * 1000 } : {}) };
  }
  return { kind: 'rejected', rejected: 0, message };
}

function partialSuccess(body: string): FlowSinkAnswer {
  try {
    const { partialSuccess: partial } = JSON.parse(body || '{}') as { partialSuccess?: { rejectedLogRecords?: string | number; rejectedDataPoints?: string | number; errorMessage?: string } };
    const rejected = Number(partial?.rejectedLogRecords ?? partial?.rejectedDataPoints ?? 0);
    return { kind: 'accepted', rejected: Number.isFinite(rejected) ? rejected : 0, ...(partial?.errorMessage === undefined ? {} : { message: partial.errorMessage }) };
  } catch {
    // The answer may be protobuf whatever was sent; the status says enough.
    return { kind: 'accepted', rejected: 0 };
  }
}
