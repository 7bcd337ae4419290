import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { mintToken, parseToken } from '@palisade/control';
import { postgresApiTokens, postgresAuditLog, inSystemTransaction, inTenantTransaction } from '@palisade/store';
import { parseTenantId, systemContext, WHOLE_TENANT, type TenantContext } from '@palisade/tenancy';
import type { DataSource } from 'typeorm';

/**
 * Makes the first tenant and a token for its owner, in a file that only its owner can read. With a tenant and a token of it
 * in the file it changes nothing; a run that died half-way is mended by the next one.
 *
 * @param source as the owner of the schema: it may add a tenant, and is bound by row-level security too
 * @returns what was done, for people
 */
export async function ensureFirstTenant(source: DataSource, options: { readonly tenantName: string; readonly tokenFile: string }): Promise<string> {
  const { tenantName, tokenFile } = options;
  const existing = await firstTenant(source);
  if (existing !== undefined && (await holdsToken(source, existing, tokenFile))) return `Tenant ${existing} exists and ${tokenFile} has a token of it: nothing to do.`;
  const context = systemContext(parseTenantId(existing ?? (await newTenantId(source))), 'bootstrap');
  const { text, publicId, secretHash } = mintToken();
  // The file first: a crash in between leaves a token that does not work, and the next run makes another.
  writeSecret(tokenFile, text);
  await createOwner(source, context, { tenantName: existing === undefined ? tenantName : undefined, publicId, secretHash });
  return `${existing === undefined ? 'Created' : 'Found'} tenant ${context.tenantId}; the owner token is in ${tokenFile}.`;
}

async function firstTenant(source: DataSource): Promise<string | undefined> {
  const [tenant] = await inSystemTransaction(source, (session) => session.query<{ tenant_id: string }>('SELECT tenant_id FROM palisade.list_tenants() LIMIT 1'));
  return tenant?.tenant_id;
}

/** True when the file has a token that is in the database: a run that died in between leaves one that is not. */
async function holdsToken(source: DataSource, tenantId: string, path: string): Promise<boolean> {
  const token = existsSync(path) ? parseToken(readFileSync(path, 'utf8').trim()) : undefined;
  if (token === undefined) return false;
  const known = await inTenantTransaction(source, systemContext(parseTenantId(tenantId), 'bootstrap'), (session) =>
    session.query('SELECT id FROM palisade.api_tokens WHERE tenant_id = $1 AND public_id = $2 AND secret_hash = $3', [tenantId, token.publicId, token.secretHash]),
  );
  return known.length > 0;
}

async function newTenantId(source: DataSource): Promise<string> {
  const [row] = await inSystemTransaction(source, (session) => session.query<{ id: string }>('SELECT uuidv7() AS id'));
  if (row === undefined) throw new Error('PostgreSQL made no id.');
  return row.id;
}

async function createOwner(source: DataSource, context: TenantContext, owner: { readonly tenantName: string | undefined; readonly publicId: string; readonly secretHash: Buffer }): Promise<void> {
  await inTenantTransaction(source, context, async (session) => {
    if (owner.tenantName !== undefined) await session.execute('INSERT INTO palisade.tenants (tenant_id, name) VALUES ($1, $2)', [context.tenantId, owner.tenantName]);
    const token = await postgresApiTokens(session).insert({
      publicId: owner.publicId,
      secretHash: owner.secretHash,
      name: 'first owner',
      roles: ['owner'],
      scope: WHOLE_TENANT,
      createdBy: 'bootstrap',
    });
    await postgresAuditLog(session).append({
      action: 'api-token.created',
      target: { kind: 'api-token', id: token.id, name: token.name },
      summary: owner.tenantName === undefined ? 'Created another owner token, for the token file was gone.' : `Created tenant ${owner.tenantName} and its first owner token.`,
    });
  });
}

/** Readable by its owner only, whole or not there at all. */
function writeSecret(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.new`;
  const file = openSync(temporary, 'wx', 0o600);
  try {
    writeSync(file, `${text}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
}
