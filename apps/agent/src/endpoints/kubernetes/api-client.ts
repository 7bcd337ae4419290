import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import type { IncomingMessage } from 'node:http';

/** Where the API server is and who we are: a pod's service account by default. Files are read again for every request: tokens rotate. */
export interface KubernetesAccess {
  /** `https://10.96.0.1:443` */
  readonly server: string;
  readonly tokenFile: string;
  readonly caFile: string;
}

export const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** The API server of the cluster that this process runs in; undefined outside of one. */
export function inClusterAccess(env: Readonly<Record<string, string | undefined>> = process.env): KubernetesAccess | undefined {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = env;
  if (host === undefined || port === undefined) return undefined;
  return { server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`, tokenFile: `${SERVICE_ACCOUNT}/token`, caFile: `${SERVICE_ACCOUNT}/ca.crt` };
}

/** The API server refused or could not be understood. `status` 410: what was asked for is too old. */
export class KubernetesRefused extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** As far as it is read here; everything else of an object is dropped on arrival. */
export interface KubernetesObject {
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly uid?: string; readonly resourceVersion?: string; readonly labels?: Readonly<Record<string, string>> };
}

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: KubernetesObject & { readonly code?: number; readonly message?: string };
}

/** One page of a list; larger pages than the server was asked for are refused. */
const MAX_PAGE_BYTES = 64 << 20;
const MAX_EVENT_BYTES = 4 << 20;
const ANSWER_WITHIN_MS = 30_000;

function open(access: KubernetesAccess, path: string, signal: AbortSignal, silenceMs: number): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const token = readFileSync(access.tokenFile, 'utf8').trim();
    const call = request(new URL(path, access.server), {
      ca: readFileSync(access.caFile), signal, agent: false,
      headers: { accept: 'application/json', authorization: `Bearer ${token}`, 'user-agent': 'palisade-agent' },
    });
    call.setTimeout(silenceMs, () => call.destroy(new Error(`The API server at ${access.server} was silent for ${silenceMs / 1000} s.`)));
    call.once('error', reject).once('response', resolve).end();
  });
}

async function body(response: IncomingMessage, limit: number): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > limit) {
      response.destroy();
      throw new KubernetesRefused(0, `The API server answered with more than ${limit} bytes.`);
    }
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

async function refuse(path: string, response: IncomingMessage): Promise<never> {
  const text = await body(response, 65_536);
  let message = text.slice(0, 200);
  try {
    message = (JSON.parse(text) as { readonly message?: string }).message ?? message;
  } catch {
    // Not a Status object; the text is what there is.
  }
  const status = response.statusCode ?? 0;
  const hint = status === 401 || status === 403 ? ' Does the agent’s service account have list and watch on it (infra/kubernetes)?' : '';
  throw new KubernetesRefused(status, `GET ${path}: ${status} ${message}${hint}`);
}

/** One page of a list. @throws KubernetesRefused, or what the connection fails with */
export async function listPage(access: KubernetesAccess, path: string, signal: AbortSignal): Promise<{ readonly items: readonly KubernetesObject[]; readonly resourceVersion: string; readonly next: string }> {
  const response = await open(access, path, signal, ANSWER_WITHIN_MS);
  if (response.statusCode !== 200) return refuse(path, response);
  const list = JSON.parse(await body(response, MAX_PAGE_BYTES)) as { readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string }; readonly items?: readonly KubernetesObject[] };
  return { items: list.items ?? [], resourceVersion: list.metadata?.resourceVersion ?? '', next: list.metadata?.continue ?? '' };
}

/** Events until the server ends the watch. @throws KubernetesRefused, or what the connection fails with */
export async function* watch(access: KubernetesAccess, path: string, signal: AbortSignal, silenceMs: number): AsyncGenerator<WatchEvent> {
  const response = await open(access, path, signal, silenceMs);
  if (response.statusCode !== 200) return refuse(path, response);
  let rest = '';
  response.setEncoding('utf8');
  for await (const part of response as AsyncIterable<string>) {
    const lines = (rest + part).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > MAX_EVENT_BYTES) {
      response.destroy();
      throw new KubernetesRefused(0, `The API server sent an event of more than ${MAX_EVENT_BYTES} bytes.`);
    }
    for (const line of lines) if (line.trim() !== '') yield JSON.parse(line) as WatchEvent;
  }
}
