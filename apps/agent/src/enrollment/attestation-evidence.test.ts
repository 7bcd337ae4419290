import { createServer, type Server } from 'node:http';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attestationNonce } from '@palisade/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collectEvidence, parseAttestationSource } from './attestation-evidence.ts';

const UUID = '0d9ad1c6-3fc5-4f0a-9a52-5e3c7b1f2a10';
let server: Server;
let service: string;
const seen: string[] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    const { 'x-aws-ec2-metadata-token': token, metadata } = request.headers;
    if (request.method === 'PUT') return response.end('session');
    if (request.url?.startsWith('/latest/') === true) return token === 'session' ? response.end('PKCS7') : response.writeHead(401).end();
    if (metadata === 'true') return response.end(JSON.stringify({ encoding: 'pkcs7', signature: 'SIGNED' }));
    return response.writeHead(400).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  service = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

describe('attestation evidence', () => {
  it('is asked of the metadata services the way they want it, with a nonce of this enrollment', async () => {
    const evidence = await collectEvidence([{ type: 'aws-iid' }, { type: 'azure-imds' }], UUID, service);
    expect(evidence.map(({ type, document }) => [type, Buffer.from(document).toString()])).toEqual([['aws-iid', 'PKCS7'], ['azure-imds', 'SIGNED']]);
    expect(seen.some((line) => line.includes(`nonce=${attestationNonce(UUID)}`))).toBe(true);
    expect(attestationNonce(UUID)).toMatch(/^[0-9a-f]{32}$/);
    expect(attestationNonce(UUID.toUpperCase())).toBe(attestationNonce(UUID));
  });

  it('is a token file on Kubernetes', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'palisade-sat-'));
    writeFileSync(join(dir, 'token'), 'a.b.c');
    expect(await collectEvidence([parseAttestationSource(`k8s-sat:${join(dir, 'token')}`)], UUID)).toEqual([{ type: 'k8s-sat', document: Buffer.from('a.b.c') }]);
    rmSync(dir, { recursive: true });
  });

  it('is an error with a sentence where the machine has none', async () => {
    await expect(collectEvidence([{ type: 'aws-iid' }], UUID, 'http://127.0.0.1:9')).rejects.toThrow(/does not answer/);
    expect(() => parseAttestationSource('gcp')).toThrow(/--attest/);
  });
});
