import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { z } from 'zod';

/** The parts of opentelemetry-proto (JSON encoding) that a receiver insists on: 64-bit numbers as text, hex-less times, known oneofs. */
const value = z.union([z.strictObject({ stringValue: z.string() }), z.strictObject({ intValue: z.string().regex(/^-?\d+$/) }), z.strictObject({ boolValue: z.boolean() }), z.strictObject({ arrayValue: z.strictObject({ values: z.array(z.strictObject({ stringValue: z.string() })) }) })]);
const attributes = z.array(z.strictObject({ key: z.string().min(1), value })).refine((list) => new Set(list.map(({ key }) => key)).size === list.length, 'has a key twice');
const nanoseconds = z.string().regex(/^\d{19}$/);
const resource = z.strictObject({ attributes });
const scope = z.strictObject({ name: z.string(), version: z.string() });
const logs = z.strictObject({
  resourceLogs: z.array(z.strictObject({
    resource,
    scopeLogs: z.array(z.strictObject({
      scope,
      logRecords: z.array(z.strictObject({ timeUnixNano: nanoseconds, observedTimeUnixNano: nanoseconds, severityNumber: z.int().min(1).max(24), severityText: z.string(), eventName: z.string(), body: value, attributes })),
    })),
  })),
});
const times = { attributes, startTimeUnixNano: nanoseconds, timeUnixNano: nanoseconds };
const numbers = z.array(z.strictObject({ ...times, asDouble: z.number() }));
const metrics = z.strictObject({
  resourceMetrics: z.array(z.strictObject({
    resource,
    scopeMetrics: z.array(z.strictObject({
      scope,
      metrics: z.array(z.strictObject({
        name: z.string(), description: z.string(),
        sum: z.strictObject({ dataPoints: numbers, aggregationTemporality: z.literal(2), isMonotonic: z.literal(true) }).optional(),
        gauge: z.strictObject({ dataPoints: numbers }).optional(),
        histogram: z.strictObject({
          dataPoints: z.array(z.strictObject({ ...times, count: z.string().regex(/^\d+$/), sum: z.number(), bucketCounts: z.array(z.string().regex(/^\d+$/)), explicitBounds: z.array(z.number()) })
            .refine(({ bucketCounts, explicitBounds, count }) => bucketCounts.length === explicitBounds.length + 1 && bucketCounts.reduce((sum, one) => sum + Number(one), 0) === Number(count), 'does not add up')),
          aggregationTemporality: z.literal(2),
        }).optional(),
      })),
    })),
  })),
});

export type ReceivedLog = Readonly<Record<string, string | boolean | undefined>>;

/** A receiver that decodes OTLP/HTTP JSON as strictly as the specification allows, and can be told to answer otherwise. */
export interface OtlpReceiver {
  readonly url: string;
  /** Attributes of accepted records, in order of arrival. */
  readonly logs: ReceivedLog[];
  /** Names of accepted metrics with their latest points. */
  readonly metrics: Map<string, unknown>;
  readonly headers: IncomingMessage['headers'][];
  /** Faults it found in what was sent. */
  readonly faults: string[];
  /** Called for each request; an answer keeps the request from being accepted. */
  answer: ((path: string, request: number) => { readonly status: number; readonly body?: string; readonly headers?: Record<string, string> } | undefined) | undefined;
  requests: number;
  close(): Promise<void>;
}

function flat(list: z.output<typeof attributes>): ReceivedLog {
  return Object.fromEntries(list.map(({ key, value: one }) => [key, 'stringValue' in one ? one.stringValue : 'intValue' in one ? one.intValue : 'boolValue' in one ? one.boolValue : one.arrayValue.values.map(({ stringValue }) => stringValue).join()]));
}

async function bytesOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const receiver = { url: '', logs: [] as ReceivedLog[], metrics: new Map<string, unknown>(), headers: [] as IncomingMessage['headers'][], faults: [] as string[], requests: 0, answer: undefined as OtlpReceiver['answer'] };
  const accept = (path: string, body: unknown): void => {
    if (path === '/v1/logs') for (const one of logs.parse(body).resourceLogs) for (const { logRecords } of one.scopeLogs) for (const record of logRecords) receiver.logs.push(flat(record.attributes));
    else for (const one of metrics.parse(body).resourceMetrics) for (const { metrics: all } of one.scopeMetrics) for (const metric of all) receiver.metrics.set(metric.name, metric);
  };
  const take = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await bytesOf(request);
    receiver.requests++;
    receiver.headers.push(request.headers);
    const otherwise = receiver.answer?.(request.url ?? '', receiver.requests);
    if (otherwise !== undefined) {
      response.writeHead(otherwise.status, otherwise.headers).end(otherwise.body ?? '');
      return;
    }
    try {
      if (request.method !== 'POST' || request.headers['content-type'] !== 'application/json' || !['/v1/logs', '/v1/metrics'].includes(request.url ?? '')) throw new Error(`${request.method} ${request.url} ${request.headers['content-type']}`);
      accept(request.url ?? '', JSON.parse(gunzipSync(body).toString()));
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    } catch (error) {
      receiver.faults.push(String(error));
      response.writeHead(400).end(String(error));
    }
  };
  const server = createServer((request, response) => void take(request, response));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return Object.assign(receiver, {
    close: () => new Promise<void>((done) => {
      server.close(() => done());
      server.closeAllConnections();
    }),
  });
}
