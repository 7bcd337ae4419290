import { describe, expect, it } from 'vitest';
import { CheckInRequestSchema, EnrollRequestSchema, NodeBundleState } from '../generated/palisade/agent/v1/channel_pb.ts';
import { decodeMessage, encodeMessage, maxMessageBytes } from './message-codec.ts';
import { AGENT_ROUTES } from './routes.ts';

describe('messages of the agent channel', () => {
  it('come back as they were sent, 64-bit numbers included', () => {
    const generation = { epoch: 1n, n: 0xffff_ffff_ffff_ffffn };
    const bytes = encodeMessage(CheckInRequestSchema, { bootId: 'b', observed: { generation, state: NodeBundleState.HEALTHY } });
    expect(decodeMessage(CheckInRequestSchema, bytes)).toMatchObject({ bootId: 'b', observed: { generation, state: NodeBundleState.HEALTHY } });
  });

  it('ignore fields that this version does not know', () => {
    const later = Buffer.concat([encodeMessage(EnrollRequestSchema, { token: 't' }), Buffer.from([0xf8, 0x07, 0x01])]);
    expect(decodeMessage(EnrollRequestSchema, later).token).toBe('t');
  });

  it('are refused when they are not protobuf or too large', () => {
    expect(() => decodeMessage(EnrollRequestSchema, Buffer.from([0xff, 0xff]))).toThrow(expect.objectContaining({ code: 'request.invalid' }));
    const large = new Uint8Array(maxMessageBytes(EnrollRequestSchema) + 1);
    expect(() => decodeMessage(EnrollRequestSchema, large)).toThrow(expect.objectContaining({ code: 'request.too-large' }));
  });
});

describe('routes', () => {
  it('need a node certificate unless they enroll, recover or hand out the public root', () => {
    const open = Object.entries(AGENT_ROUTES).filter(([, route]) => route.clientCertificate === 'none').map(([name]) => name);
    expect(open).toEqual(['enroll', 'recoverChallenge', 'recover', 'rootMetadata']);
  });
});
