import type { CertificateOutcome, EnrollNode, NodeDescription, RecoverNode, RenewCertificate } from '@palisade/control';
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
const enroll = z.object({ tokenPublicId: z.string().max(32), secretHash: hex, enrollmentUuid: uuid, description });
const renew = z.object({ tenantId: uuid, nodeId: uuid, presentedSerial: z.string().max(64), replacesSerial: z.string().max(64) });
const recover = z.object({ nodeId: uuid, nonce: hex, signature: hex });

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
      let failed = 0;
      const pending = [...open];
      const worker = async (): Promise<void> => {
        for (let request = pending.shift(); request !== undefined; request = pending.shift()) if (!(await this.#answer(request))) failed += 1;
      };
      await Promise.all(Array.from({ length: CONCURRENCY }, worker));
      if (open.length < BATCH || failed > 0) return;
    }
  }

  async #answer(request: OpenAgentRequest): Promise<boolean> {
    try {
      const outcome = await this.#outcome(request);
      await this.#ports.queue.finish(request.id, outcome);
      if (outcome.status === 200 && request.kind === 'enroll') this.#ports.onEnrolled(outcome.tenantId, outcome.clusterId);
      return true;
    } catch (error) {
      this.#ports.logger.warn({ err: error, request: request.id, kind: request.kind }, 'a request of an agent could not be answered yet');
      return false;
    }
  }

  #outcome(request: OpenAgentRequest): Promise<CertificateOutcome> {
    const { csr, sourceAddress } = request;
    switch (request.kind) {
      case 'enroll': {
        const input = enroll.safeParse(request.input);
        return input.success ? this.#ports.enroll.execute({ ...input.data, description: input.data.description satisfies NodeDescription, csr, sourceAddress }) : malformed(input.error);
      }
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

async function malformed(error: z.ZodError): Promise<CertificateOutcome> {
  const issue = error.issues[0];
  return { status: 400, code: 'request.invalid', detail: `${issue?.path.join('.') ?? 'The request'}: ${issue?.message ?? 'is not valid'}.` };
}
