import { createHash, createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

/** A key service on loopback with a real P-256 key, speaking what the real one documents. */
export interface KeyService {
  readonly url: string;
  readonly publicKey: KeyObject;
  /** Requests that were carried out, by operation. */
  readonly operations: string[];
  /** While true, every request gets a 500. */
  failing: boolean;
  stop(): Promise<void>;
}

/** AWS KMS: JSON 1.1 over HTTP, `X-Amz-Target: TrentService.<Operation>`, Signature Version 4 required. */
export async function startAwsKms(): Promise<KeyService> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  return start(privateKey, (handler) => createServer(handler), (service, request, body, response) => {
    const operation = String(request.headers['x-amz-target']);
    if (request.headers.authorization?.startsWith('AWS4-HMAC-SHA256 Credential=') !== true) return json(response, 400, { __type: 'MissingAuthenticationTokenException' });
    service.operations.push(operation);
    const input = JSON.parse(body.toString()) as Record<string, string>;
    if (operation === 'TrentService.GetPublicKey') {
      return json(response, 200, { KeyId: input['KeyId'], KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY', PublicKey: service.publicKey.export({ type: 'spki', format: 'der' }).toString('base64') });
    }
    if (operation !== 'TrentService.Sign' || input['MessageType'] !== 'DIGEST' || input['SigningAlgorithm'] !== 'ECDSA_SHA_256') return json(response, 400, { __type: 'ValidationException' });
    const digest = Buffer.from(input['Message'] ?? '', 'base64');
    return json(response, 200, { KeyId: input['KeyId'], SigningAlgorithm: 'ECDSA_SHA_256', Signature: signDigest(privateKey, digest, 'der').toString('base64') });
  });
}

/** Azure Key Vault keys 7.x: bearer challenge, JWK, `POST …/sign` with ES256 and a base64url digest. */
export async function startAzureKeyVault(tls: { readonly key: string; readonly cert: string }): Promise<KeyService> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  return start(privateKey, (handler) => createTlsServer(tls, handler), (service, request, body, response) => {
    if (request.headers.authorization !== 'Bearer a-token') {
      response.setHeader('www-authenticate', 'Bearer authorization="https://login.microsoftonline.com/tenant", resource="https://vault.azure.net"');
      return json(response, 401, { error: { code: 'Unauthorized' } });
    }
    const { pathname } = new URL(request.url ?? '', service.url);
    service.operations.push(`${request.method} ${pathname}`);
    const kid = `${service.url}${pathname.replace(/\/sign$/, '')}`;
    if (request.method === 'GET') return json(response, 200, { key: { kid, key_ops: ['sign', 'verify'], ...service.publicKey.export({ format: 'jwk' }) }, attributes: { enabled: true } });
    const { alg, value } = JSON.parse(body.toString()) as { alg: string; value: string };
    if (alg !== 'ES256') return json(response, 400, { error: { code: 'BadParameter' } });
    return json(response, 200, { kid, value: signDigest(privateKey, Buffer.from(value, 'base64url'), 'ieee-p1363').toString('base64url') });
  });
}

/** The caller's digest must be signed as it is: known here by the digest of the data the test signs. */
export const SIGNED_DATA = Buffer.from('what the test signs');

function signDigest(key: KeyObject, digest: Buffer, dsaEncoding: 'der' | 'ieee-p1363'): Buffer {
  const wanted = createHash('sha256').update(SIGNED_DATA).digest();
  if (!digest.equals(wanted)) throw new Error('the digest is not the one of the data');
  return sign('sha256', SIGNED_DATA, { key, dsaEncoding });
}

type Handler = (service: KeyService, request: IncomingMessage, body: Buffer, response: ServerResponse) => void;

async function start(privateKey: KeyObject, create: (handler: (request: IncomingMessage, response: ServerResponse) => void) => Server, handle: Handler): Promise<KeyService> {
  const server = create((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => (service.failing ? json(response, 500, { error: { code: 'InternalServerError' } }) : handle(service, request, Buffer.concat(chunks), response)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const scheme = 'setSecureContext' in server ? 'https' : 'http';
  const service: KeyService = {
    url: `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    publicKey: createPublicKey(privateKey),
    operations: [],
    failing: false,
    stop: () => new Promise((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    }),
  };
  return service;
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
