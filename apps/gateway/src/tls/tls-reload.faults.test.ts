import 'reflect-metadata';
import { generateKeyPairSync, webcrypto, type KeyObject } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type ClientHttp2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import * as x509 from '@peculiar/x509';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createLogger } from '@palisade/nest-kit';
import { ConnectionAdmission } from '../admission/connection-admission.ts';
import { StreamAdmission } from '../admission/stream-admission.ts';
import { agentListener } from '../agent-listener.ts';
import { tlsOptions } from './tls-material.ts';
import { reloadTls } from './tls-reload.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
interface Issued {
  readonly pem: string;
  readonly key: KeyObject;
}

async function issue(name: string, issuer?: Issued): Promise<Issued> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signer = issuer?.key ?? privateKey;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: Buffer.from(name).toString('hex').slice(0, 16),
    subject: `CN=${name}`,
    issuer: issuer === undefined ? `CN=${name}` : new x509.X509Certificate(issuer.pem).subject,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    publicKey: new x509.PublicKey(publicKey.export({ type: 'spki', format: 'der' })),
    signingKey: await webcrypto.subtle.importKey('pkcs8', signer.export({ type: 'pkcs8', format: 'der' }), ALGORITHM, false, ['sign']),
    signingAlgorithm: ALGORITHM,
    extensions: [new x509.BasicConstraintsExtension(issuer === undefined, undefined, true), ...(issuer === undefined ? [] : [new x509.SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }])])],
  });
  return { pem: certificate.toString('pem'), key: privateKey };
}

const pem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }) as string;
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'palisade-tls-reload-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function install(server: Issued, nodeCas: readonly Issued[]): void {
  const files = { 'server.key': pem(server.key), 'server.crt': server.pem, 'node-ca.crt': nodeCas.map((ca) => ca.pem).join('\n') };
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(dir, `${name}.new`), content, { mode: 0o600 });
    renameSync(join(dir, `${name}.new`), join(dir, name));
  }
}

function ask(session: ClientHttp2Session): Promise<string> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':path': '/' });
    let body = '';
    stream.on('data', (chunk: Buffer) => (body += chunk.toString()));
    stream.once('end', () => resolve(body));
    stream.once('error', reject);
  });
}

describe('fault 6: the authorities are replaced under traffic', () => {
  it('drops no connection, takes new ones under the new authority, and old nodes while both are trusted', async () => {
    const [gatewayCa, oldNodeCa, newNodeCa] = [await issue('gateway CA'), await issue('node CA 1'), await issue('node CA 2')];
    const [oldNode, newNode] = [await issue('node 1', oldNodeCa), await issue('node 2', newNodeCa)];
    install(await issue('gateway 1', gatewayCa), [oldNodeCa]);
    const streams = new StreamAdmission(100, createLogger('test', 'fatal'));
    const server = agentListener({
      tls: tlsOptions(dir),
      connections: 100,
      admission: new ConnectionAdmission({ handshakes: 4, waiting: 100, patienceMs: 10_000 }),
      streams: { flows: streams, requests: streams, downloads: streams },
      onRequest: (request, response) => void response.end(String((request.stream.session?.socket as TLSSocket | undefined)?.authorized)),
      onCheckIn: () => undefined,
      onConnections: () => undefined,
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const stop = reloadTls(server, dir, tlsOptions, () => undefined, 20);
    const open = (node: Issued) => connect(`https://127.0.0.1:${(server.address() as AddressInfo).port}`, { ca: gatewayCa.pem, cert: node.pem, key: pem(node.key) });
    const nameOf = (session: ClientHttp2Session): string => String((session.socket as TLSSocket).getPeerCertificate().subject.CN);
    const before = open(oldNode);
    expect(await ask(before)).toBe('true');
    const sessions = [before];

    install(await issue('gateway 2', gatewayCa), [newNodeCa, oldNodeCa]);
    await vi.waitFor(async () => {
      const session = open(newNode);
      sessions.push(session);
      expect(await ask(session)).toBe('true');
      expect(nameOf(session)).toBe('gateway 2');
    }, { timeout: 10_000, interval: 50 });
    expect(await ask(before)).toBe('true');
    expect(nameOf(before)).toBe('gateway 1');
    const returning = open(oldNode);
    sessions.push(returning);
    expect(await ask(returning)).toBe('true');
    stop();
    for (const session of sessions) session.destroy();
    server.close();
  });
});
