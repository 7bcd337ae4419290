import { Controller, Header, HttpCode, Inject, Post, Req } from '@nestjs/common';
import { IngestFlowBatch, type FlowIngestAnswer } from '@palisade/control';
import { DomainError } from '@palisade/errors';
import { decodeFlowBatch, encodeFlowBatchReceipt, PROTOBUF_CONTENT_TYPE, type FlowBatchReceipt } from '@palisade/protocol';
import { parseTenantId } from '@palisade/tenancy';
import type { FastifyRequest } from 'fastify';
import { NodeAdmission } from '../admission/node-admission.ts';
import { nodeOfRequest } from '../tls/node-of-request.ts';

/** What the receipt says about an answer of the ingest. */
export function receiptOf(seq: number, { outcome, credit }: FlowIngestAnswer): FlowBatchReceipt {
  return {
    seq,
    outcome: outcome.kind,
    credit,
    retryAfterMs: outcome.kind === 'deferred' ? outcome.retryAfterMs : 0,
    reason: outcome.kind === 'refused' ? outcome.reason : '',
  };
}

/**
 * Takes flow batches (flow.proto). The receipt goes out after the commit. The listener must hand protobuf bodies over as
 * bytes; the default body limit of 1 MiB is the protocol's.
 */
@Controller('agent/v1/flows')
export class FlowsController {
  readonly #ingest: IngestFlowBatch;
  readonly #admission: NodeAdmission;

  constructor(@Inject(IngestFlowBatch) ingest: IngestFlowBatch, @Inject(NodeAdmission) admission: NodeAdmission) {
    this.#ingest = ingest;
    this.#admission = admission;
  }

  @Post()
  @HttpCode(200)
  @Header('content-type', PROTOBUF_CONTENT_TYPE)
  async take(@Req() request: FastifyRequest): Promise<Buffer> {
    const node = nodeOfRequest(request, Date.now());
    await this.#admission.admit(node);
    const { tenantId, clusterId, nodeId } = node;
    const sender = { tenantId: parseTenantId(tenantId), clusterId, nodeId };
    if (!(request.body instanceof Uint8Array)) throw new DomainError('request.invalid', `Send the batch as ${PROTOBUF_CONTENT_TYPE}.`);
    const batch = decodeFlowBatch(request.body);
    const answer = await this.#ingest.execute({ sender, batch, wireBytes: request.body.length });
    return Buffer.from(encodeFlowBatchReceipt(receiptOf(batch.seq, answer)));
  }
}
