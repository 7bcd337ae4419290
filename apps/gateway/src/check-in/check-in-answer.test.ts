import { randomBytes } from 'node:crypto';
import { CheckInResponseSchema, decodeMessage, encodeMessage } from '@palisade/protocol';
import { describe, expect, it } from 'vitest';
import { CheckInAnswers, type CheckInAnswer } from './check-in-answer.ts';

const proof = randomBytes(3 * 32);
const ANSWER: CheckInAnswer = {
  token: 'token-1',
  desired: { epoch: 1, n: 7, contentDigest: 'c'.repeat(64), manifestSha256: 'd'.repeat(64), assignmentId: 'a', leafIndex: 5, proof },
  assignment: randomBytes(300),
  identityRevision: 12,
  rootVersion: 3,
  epoch: 4,
  reconnectWindowMs: 120_000,
};

describe('an encoded answer', () => {
  it('reads like one that was encoded in one piece', () => {
    const whole = encodeMessage(CheckInResponseSchema, {
      ackToken: 'token-1',
      desired: {
        generation: { epoch: 1n, n: 7n },
        contentDigest: 'c'.repeat(64),
        manifestSha256: 'd'.repeat(64),
        assignment: ANSWER.assignment!,
        leafIndex: 5n,
        assignmentPath: [0, 1, 2].map((index) => proof.subarray(index * 32, (index + 1) * 32)),
      },
      identityRevision: 12n,
      serverTimeMs: 1_700_000_000_000n,
      rootVersion: 3n,
      epoch: 4n,
      reconnectWindowMs: 120_000,
    });
    const read = decodeMessage(CheckInResponseSchema, new CheckInAnswers().encode(ANSWER, 1_700_000_000_000));
    expect(encodeMessage(CheckInResponseSchema, read)).toEqual(whole);
  });

  it('carries each node its own proof on what all are told alike', () => {
    const answers = new CheckInAnswers();
    const other = randomBytes(2 * 32);
    answers.encode(ANSWER, 1);
    const read = decodeMessage(CheckInResponseSchema, answers.encode({ ...ANSWER, desired: { ...ANSWER.desired!, leafIndex: 6, proof: other } }, 2));
    expect(read.desired?.leafIndex).toBe(6n);
    expect(Buffer.concat(read.desired!.assignmentPath)).toEqual(other);
    expect(read.serverTimeMs).toBe(2n);
  });

  it('wants nothing where nothing is desired', () => {
    expect(decodeMessage(CheckInResponseSchema, new CheckInAnswers().encode({ ...ANSWER, desired: null, assignment: undefined }, 1)).desired).toBeUndefined();
  });

  it('changes with what is told, however many tokens were seen', () => {
    const answers = new CheckInAnswers();
    for (let revision = 0; revision < 200; revision += 1) {
      const read = decodeMessage(CheckInResponseSchema, answers.encode({ ...ANSWER, token: `token-${revision}`, identityRevision: revision }, 1));
      expect([read.ackToken, read.identityRevision]).toEqual([`token-${revision}`, BigInt(revision)]);
    }
  });
});
