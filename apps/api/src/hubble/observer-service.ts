import { once } from 'node:events';
import { create } from '@bufbuild/protobuf';
import { Metadata, status, type handleServerStreamingCall, type handleUnaryCall, type ServerUnaryCall, type ServerWritableStream, type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js';
import type { FlowSourceNode, FlowSources, ReadFlows, SummarizeFlows } from '@palisade/control';
import { DomainError, type ErrorKind } from '@palisade/errors';
import type { Logger } from '@palisade/nest-kit';
import type { TenantContext } from '@palisade/tenancy';
import { OpenStreams } from '../event-streams/open-streams.ts';
import { wire } from './field-mask.ts';
import { HealthCheckRequestSchema, HealthCheckResponse_ServingStatus, HealthCheckResponseSchema, type HealthCheckRequest, type HealthCheckResponse } from './generated/health/health_pb.ts';
import {
  GetAgentEventsRequestSchema, GetAgentEventsResponseSchema, GetDebugEventsRequestSchema, GetDebugEventsResponseSchema, GetFlowsRequestSchema,
  GetFlowsResponseSchema, GetNamespacesRequestSchema, GetNamespacesResponseSchema, GetNodesRequestSchema, GetNodesResponseSchema, ServerStatusRequestSchema, ServerStatusResponseSchema, type GetFlowsRequest, type GetFlowsResponse, type GetNodesResponse, type ServerStatusResponse,
} from './generated/observer/observer_pb.ts';
import { NodeState } from './generated/relay/relay_pb.ts';
import { getFlows } from './get-flows.ts';
import type { HubbleAccess } from './hubble-access.ts';
import { hubbleTime } from './hubble-flow.ts';

export interface ObserverPorts {
  readonly flows: ReadFlows;
  readonly sources: FlowSources;
  readonly summaries: SummarizeFlows;
  readonly access: HubbleAccess;
  readonly logger: Logger;
  readonly version: string;
  /** How often the token of an open stream is looked at again: it may have been revoked. */
  readonly readmitMs: number;
}

const MINUTE_US = 60_000_000;
const HOUR_US = 3_600_000_000;
/** A node that has sent nothing for this long is shown as unavailable. */
const SILENT_US = 5 * MINUTE_US;
/** Streams open at once in this process; each one polls the store. */
const MAX_STREAMS = 100;
/** Nodes that one answer names. */
const MAX_NAMED = 100;
/** What the health check knows: the whole server, Hubble's name for the observer, and its gRPC name. */
const HEALTHY = ['', 'hubble.server.Observer', 'observer.Observer'];

const CODES: Readonly<Record<ErrorKind, status>> = {
  invalid: status.INVALID_ARGUMENT, unauthenticated: status.UNAUTHENTICATED, forbidden: status.PERMISSION_DENIED, 'not-found': status.NOT_FOUND,
  conflict: status.FAILED_PRECONDITION, precondition: status.FAILED_PRECONDITION, 'too-large': status.RESOURCE_EXHAUSTED, unprocessable: status.INVALID_ARGUMENT,
  'rate-limited': status.RESOURCE_EXHAUSTED, unavailable: status.UNAVAILABLE, internal: status.INTERNAL,
};

function method<Request extends Parameters<typeof wire>[0], Response extends Parameters<typeof wire>[0]>(path: string, request: Request, response: Response, responseStream: boolean) {
  const [asked, answered] = [wire(request), wire(response)];
  return {
    path, requestStream: false, responseStream,
    requestSerialize: asked.serialize, requestDeserialize: asked.deserialize, responseSerialize: answered.serialize, responseDeserialize: answered.deserialize,
  };
}

export const OBSERVER_SERVICE = {
  GetFlows: method('/observer.Observer/GetFlows', GetFlowsRequestSchema, GetFlowsResponseSchema, true),
  GetNodes: method('/observer.Observer/GetNodes', GetNodesRequestSchema, GetNodesResponseSchema, false),
  GetNamespaces: method('/observer.Observer/GetNamespaces', GetNamespacesRequestSchema, GetNamespacesResponseSchema, false),
  GetAgentEvents: method('/observer.Observer/GetAgentEvents', GetAgentEventsRequestSchema, GetAgentEventsResponseSchema, true),
  GetDebugEvents: method('/observer.Observer/GetDebugEvents', GetDebugEventsRequestSchema, GetDebugEventsResponseSchema, true),
  ServerStatus: method('/observer.Observer/ServerStatus', ServerStatusRequestSchema, ServerStatusResponseSchema, false),
} as ServiceDefinition;

export const HEALTH_SERVICE = { Check: method('/grpc.health.v1.Health/Check', HealthCheckRequestSchema, HealthCheckResponseSchema, false) } as ServiceDefinition;

interface Caller {
  readonly metadata: Metadata;
  getPeer(): string;
}

/** `127.0.0.1:5000` and `[::1]:5000` without the port. */
function addressOf(peer: string): string {
  return peer.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
}

/** The observer's calls, as plain functions over the flow use cases. */
export class ObserverService {
  readonly #ports: ObserverPorts;
  readonly #startedUs = Date.now() * 1000;
  readonly #streams = new OpenStreams(MAX_STREAMS);

  constructor(ports: ObserverPorts) {
    this.#ports = ports;
  }

  get implementation(): UntypedServiceImplementation {
    return {
      GetFlows: ((call) => void this.#getFlows(call)) satisfies handleServerStreamingCall<GetFlowsRequest, GetFlowsResponse>,
      GetNodes: this.#unary((context) => this.#nodes(context)),
      GetNamespaces: this.#unary(async (context) => create(GetNamespacesResponseSchema, { namespaces: [...(await this.#ports.sources.namespaces(context, Date.now() * 1000 - HOUR_US))] })),
      GetAgentEvents: this.#notHere('Agent events are not kept: see the audit log and the rollouts in the REST API.'),
      GetDebugEvents: this.#notHere('Debug events are not kept.'),
      ServerStatus: this.#unary((context) => this.#status(context)),
    };
  }

  get health(): UntypedServiceImplementation {
    const check: handleUnaryCall<HealthCheckRequest, HealthCheckResponse> = (call, answer) => {
      if (HEALTHY.includes(call.request.service)) answer(null, create(HealthCheckResponseSchema, { status: HealthCheckResponse_ServingStatus.SERVING }));
      else answer({ code: status.NOT_FOUND, details: 'There is no such service here.' });
    };
    return { Check: check };
  }

  #admit(call: Caller): Promise<TenantContext> {
    const [authorization] = call.metadata.get('authorization');
    return this.#ports.access.admit(authorization === undefined ? undefined : String(authorization), addressOf(call.getPeer()));
  }

  #unary<Response>(work: (context: TenantContext) => Promise<Response>): handleUnaryCall<unknown, Response> {
    return (call: ServerUnaryCall<unknown, Response>, answer) => {
      this.#admit(call).then(work).then((response) => answer(null, response), (error: unknown) => answer(this.#serviceError(error)));
    };
  }

  /** What Hubble Relay does not implement either; who may not ask is not told even that. */
  #notHere(details: string): handleServerStreamingCall<unknown, unknown> {
    return (call) => {
      this.#admit(call).then(
        () => call.emit('error', { code: status.UNIMPLEMENTED, details, metadata: new Metadata() }),
        (error: unknown) => call.emit('error', { ...this.#serviceError(error), metadata: new Metadata() }),
      );
    };
  }

  #serviceError(error: unknown): { code: status; details: string } {
    if (error instanceof DomainError) return { code: CODES[error.kind], details: error.message };
    this.#ports.logger.error({ err: error }, 'an observer call failed');
    return { code: status.INTERNAL, details: 'Something unexpected happened; the log says more.' };
  }

  async #getFlows(call: ServerWritableStream<GetFlowsRequest, GetFlowsResponse>): Promise<void> {
    const gone = new AbortController();
    call.once('cancelled', () => gone.abort());
    call.once('close', () => gone.abort());
    call.once('error', () => gone.abort());
    const fail = (error: unknown): void => {
      if (!gone.signal.aborted) call.emit('error', { ...this.#serviceError(error), metadata: new Metadata() });
    };
    let readmit: NodeJS.Timeout | undefined;
    let close: (() => void) | undefined;
    try {
      const context = await this.#admit(call);
      close = this.#streams.admit(context.tenantId);
      // A database that does not answer just now, or a busy tenant, is no reason to end a stream.
      const stillAdmitted = (): Promise<unknown> => this.#admit(call).catch((error: unknown) => (isRefusal(error) ? fail(error) : undefined));
      readmit = setInterval(() => void stillAdmitted(), this.#ports.readmitMs);
      for await (const response of this.#responses(context, call.request, gone.signal)) {
        if (gone.signal.aborted) break;
        if (!call.write(response)) await once(call, 'drain', { signal: gone.signal }).catch(() => undefined);
      }
      if (!gone.signal.aborted) call.end();
    } catch (error) {
      fail(error);
    } finally {
      clearInterval(readmit);
      close?.();
    }
  }

  /** First, as relay does, which nodes are silent; then the flows. */
  async *#responses(context: TenantContext, request: GetFlowsRequest, signal: AbortSignal): AsyncGenerator<GetFlowsResponse> {
    const nowUs = Date.now() * 1000;
    const silent = (await this.#ports.sources.nodes(context, nowUs - HOUR_US)).filter((node) => isSilent(node, nowUs)).slice(0, MAX_NAMED);
    if (silent.length > 0) {
      const event = { stateChange: NodeState.NODE_UNAVAILABLE, nodeNames: silent.map(({ name }) => name), message: 'no report for five minutes' };
      yield create(GetFlowsResponseSchema, { responseTypes: { case: 'nodeStatus', value: event }, time: hubbleTime(nowUs) });
    }
    yield* getFlows(this.#ports.flows, context, request, signal);
  }

  async #nodes(context: TenantContext): Promise<GetNodesResponse> {
    const nowUs = Date.now() * 1000;
    const nodes = await this.#ports.sources.nodes(context, nowUs - HOUR_US);
    const told = ofWholeClusters(context);
    return create(GetNodesResponseSchema, {
      nodes: nodes.map((node) => ({
        name: node.name, version: this.#ports.version, state: isSilent(node, nowUs) ? NodeState.NODE_UNAVAILABLE : NodeState.NODE_CONNECTED, tls: { enabled: true, serverName: '' },
        // Clients divide the flows by it.
        uptimeNs: BigInt(Math.max(0, nowUs - node.countedSinceUs)) * 1000n, ...(told ? { numFlows: BigInt(node.storedFlows), maxFlows: BigInt(node.storedFlows), seenFlows: BigInt(node.seenFlows) } : {}),
      })),
    });
  }

  async #status(context: TenantContext): Promise<ServerStatusResponse> {
    const nowUs = Date.now() * 1000;
    const nodes = await this.#ports.sources.nodes(context, nowUs - HOUR_US);
    const silent = nodes.filter((node) => isSilent(node, nowUs));
    const { stored, seen, rate } = await this.#totals(context, nodes, nowUs);
    return create(ServerStatusResponseSchema, {
      numFlows: BigInt(stored), maxFlows: BigInt(stored), seenFlows: BigInt(seen), uptimeNs: BigInt(nowUs - this.#startedUs) * 1000n,
      numConnectedNodes: nodes.length - silent.length, numUnavailableNodes: silent.length, unavailableNodes: silent.slice(0, MAX_NAMED).map(({ name }) => name),
      version: this.#ports.version, flowsRate: rate,
    });
  }

  /** Flows of the last hour. Nodes count all of a cluster's: who is bound to namespaces is told the connections in them instead. */
  async #totals(context: TenantContext, nodes: readonly FlowSourceNode[], nowUs: number): Promise<{ stored: number; seen: number; rate: number }> {
    if (ofWholeClusters(context)) {
      const lately = await this.#ports.sources.nodes(context, nowUs - MINUTE_US);
      return { stored: sum(nodes, 'storedFlows'), seen: sum(nodes, 'seenFlows'), rate: sum(lately, 'seenFlows') / 60 };
    }
    const { edges, beyond } = await this.#ports.summaries.edges(context, { sinceUs: nowUs - HOUR_US, untilUs: nowUs });
    const flows = edges.reduce((total, edge) => total + edge.flows, beyond.flows);
    return { stored: flows, seen: flows, rate: flows / 3600 };
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof DomainError && (error.kind === 'unauthenticated' || error.kind === 'forbidden');
}

function ofWholeClusters({ actor }: TenantContext): boolean {
  return actor.scope.namespaces === 'all';
}

function isSilent(node: FlowSourceNode, nowUs: number): boolean {
  return nowUs - node.lastReportUs > SILENT_US;
}

function sum(nodes: readonly FlowSourceNode[], field: 'storedFlows' | 'seenFlows'): number {
  return nodes.reduce((total, node) => total + node[field], 0);
}
