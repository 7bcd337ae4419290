import { PROTOBUF_CONTENT_TYPE } from '@palisade/protocol';
import { GatewayRefused, type GatewayRequests } from '../transport/gateway-requests.ts';
import type { FlowChannel } from './flow-sender.ts';

const RECEIPT_BYTES = 64 * 1024;
const TIMEOUT_MS = 30_000;

/** Sends over whatever connection the agent has now. @param session undefined while there is none */
export function gatewayFlowChannel(session: () => GatewayRequests | undefined): FlowChannel {
  return {
    async post(path, body) {
      const requests = session();
      if (requests === undefined) throw new Error('There is no connection to the gateway.');
      try {
        return await requests.request({ method: 'POST', path, body, contentType: PROTOBUF_CONTENT_TYPE, maxBytes: RECEIPT_BYTES, timeoutMs: TIMEOUT_MS });
      } catch (error) {
        if (!(error instanceof GatewayRefused)) throw error;
        return { status: error.status, body: new Uint8Array(), ...(error.retryAfterMs > 0 ? { retryAfterMs: error.retryAfterMs } : {}) };
      }
    },
  };
}
