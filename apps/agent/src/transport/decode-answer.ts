import { isDomainError } from '@palisade/errors';
import { decodeMessage } from '@palisade/protocol';
import { GatewayRefused } from './gateway-requests.ts';

/** Decodes an answer; one that cannot be read counts as a passing fault of the gateway. @throws GatewayRefused 502 */
export const decodeAnswer: typeof decodeMessage = (schema, bytes) => {
  try {
    return decodeMessage(schema, bytes);
  } catch (error) {
    if (isDomainError(error)) throw unreadable(error.message);
    throw error;
  }
};

export function unreadable(detail: string): GatewayRefused {
  return new GatewayRefused(502, 'answer.unreadable', detail, 0);
}
