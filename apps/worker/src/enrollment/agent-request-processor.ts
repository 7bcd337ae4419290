import type { CertificateOutcome, EnrollNode, EnrollNodeInput, RecoverNode, RenewCertificate } from '@palisade/control';
import type { Logger } from '@palisade/nest-kit';
import type { AgentRequestQueue, OpenAgentRequest } from '@palisade/store';
import { z } from 'zod';

const CONCURRENCY = 4;
const BATCH = 64;

const hex = z.string().regex(/^([0-9a-f]{2})*$/).transform((text) => Buffer.from(text, 'hex'));
const uuid = z.uuid();
const description = z.object({
  hostname: z.string().max(255),
  agentVersion: z.string().max(64),
  arch: z.enum(['amd64', 'arm64']),
  kernel: z.object({ release: z.string().max(128), features: z.array(z.string().max(64)).max(64) }),
  addresses: z.array(z.string().max(64)).max(64),
});
const evidence = z.array(z.object({ type: z.string().max(32), document: hex })).max(4).default([]);
const enroll = z.object({ tokenPublicId: z.string().max(32), secretHash: hex, enrollmentUuid: uuid, description, evidence });
const renew = z.object({ tenantId: uuid, nodeId: uuid, presentedSerial: z.string().max(64), replacesSerial: z.string().max(64) });
const recover = z.object({ nodeId: uuid, nonce: hex, signature: hex });

interface Answered {
  readonly id: string;
  readonly kind: OpenAgentRequest['kind'];
  readonly outcome: CertificateOutcome;
}

export interface AgentRequestPorts {
  readonly queue: AgentRequestQueue;
  readonly enroll: EnrollNode;
  readonly renew: RenewCertificate;
  readonly recover: RecoverNode;
  /** Called with the cluster of a node that has just enrolled. */
  readonly onEnrolled: (tenantId: string, clusterId: string) => void;
  readonly logger: Logger;
}

/**
 * Answers what agents ask for through the gateway. The input was written by the gateway, which is not trusted: it is
 * read strictly here, and every use case proves again what it needs.
 */
export class AgentRequestProcessor {
  readonly #ports: AgentRequestPorts;

  constructor(ports: AgentRequestPorts) {
    this.#ports = ports;
  }

  /** Answers all open requests; one that fails stays open and is tried with the next wake. */
  async drain(): Promise<void> {
    for (;;) {
      const open = await this.#ports.queue.open(BATCH);
      const { enroll: enrollments = [], other = [] } = Object.groupBy(open, (request) => (request.kind === 'enroll' ? 'enroll' : 'other'));
      const answered = [...(await this.#enrollAll(enrollments)), ...(await this.#answerAll(other))];
      await this.#ports.queue.finish(answered);
      const enrolled = new Map(answered.flatMap(({ kind, outcome }) => (kind === 'enroll' && outcome.status === 200 ? [[outcome.clusterId, outcome.tenantId] as const] : [])));
      for (const [clusterId, tenantId] of enrolled) this.#ports.onEnrolled(tenantId, clusterId);
      if (open.length < BATCH || answered.length < open.length) return;
    }
  }

  async #enrollAll(requests: readonly OpenAgentRequest[]): Promise<Answered[]> {
    const answered: Answered[] = [];
    const valid: { readonly id: string; readonly input: EnrollNodeInput }[] = [];
    for (const { id, input, csr, sourceAddress } of requests) {
      const parsed = enroll.safeParse(input);
      if (parsed.success) valid.push({ id, input: { ...parsed.data, csr, sourceAddress } });
      else answered.push({ id, kind: 'enroll', outcome: malformed(parsed.error) });
    }
    try {
      const outcomes = await this.#ports.enroll.executeAll(valid.map(({ input }) => input));
      valid.forEach(({ id }, index) => answered.push({ id, kind: 'enroll', outcome: outcomes[index]! }));
    } catch (error) {
      this.#ports.logger.warn({ err: error, requests: valid.length }, 'enrollments could not be answered yet');
    }
    return answered;
  }

  async #answerAll(requests: readonly OpenAgentRequest[]): Promise<Answered[]> {
    const answered: Answered[] = [];
    const pending = [...requests];
    const worker = async (): Promise<void> => {
      for (let request = pending.shift(); request !== undefined; request = pending.shift()) {
        try {
          answered.push({ id: request.id, kind: request.kind, outcome: await this.#outcome(request) });
        } catch (error) {
          this.#ports.logger.warn({ err: error, request: request.id, kind: request.kind }, 'a request of an agent could not be answered yet');
        }
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));
    return answered;
  }

  async #outcome(request: OpenAgentRequest): Promise<CertificateOutcome> {
    const { csr, sourceAddress } = request;
    switch (request.kind as 'renew' | 'recover') {
      case 'renew': {
        const input = renew.safeParse(request.input);
        return input.success ? this.#ports.renew.execute({ ...input.data, csr, sourceAddress }) : malformed(input.error);
      }
      case 'recover': {
        const input = recover.safeParse(request.input);
        return input.success ? this.#ports.recover.execute({ ...input.data, csr, sourceAddress }) : malformed(input.error);
      }
    }
  }
}

function malformed(error: z.ZodError): CertificateOutcome {
  const issue = error.issues[0];
  return { status: 400, code: 'request.invalid', detail: `${issue?.path.join('.') ?? 'The request'}: ${issue?.message ?? 'is not valid'}.` };
}
