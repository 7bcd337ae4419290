import { randomUUID } from 'node:crypto';
import type pg from 'pg';

export interface EnrolledNode {
  readonly tenantId: string;
  readonly clusterId: string;
  readonly nodeId: string;
}

/** Writes a node as enrollment leaves it, with its tenant and its cluster where they are not there yet. @param client of the owner */
export async function enrollNode(client: Pick<pg.Client, 'query'>, { tenantId, clusterId, nodeId }: EnrolledNode): Promise<void> {
  const tokenId = randomUUID();
  await client.query('INSERT INTO palisade.tenants (tenant_id, name) VALUES ($1, $2) ON CONFLICT (tenant_id) DO NOTHING', [tenantId, tenantId]);
  await client.query("INSERT INTO palisade.clusters (tenant_id, id, name, settings) VALUES ($1, $2, $3, '{}') ON CONFLICT DO NOTHING", [tenantId, clusterId, clusterId]);
  await client.query(
    `INSERT INTO palisade.enrollment_tokens (tenant_id, id, cluster_id, public_id, name, secret_hash, max_uses, expires_at, labels, created_by)
     VALUES ($1, $2, $3, $4, 't', sha256('x'), 1, now() + interval '1 hour', '{}', 'test')`,
    [tenantId, tokenId, clusterId, tokenId.replaceAll('-', '').slice(0, 12).toUpperCase()],
  );
  await client.query(
    `INSERT INTO palisade.nodes (tenant_id, id, cluster_id, name, enrollment_uuid, token_id, public_key, hostname, agent_version, arch, kernel, attestation)
     VALUES ($1, $2, $3, $4, $5, $6, '', 'n', '0.1.0', 'amd64', '{}', '{"method":"token"}')`,
    [tenantId, nodeId, clusterId, nodeId, randomUUID(), tokenId],
  );
}
