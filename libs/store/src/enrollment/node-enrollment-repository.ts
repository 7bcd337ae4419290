import { randomBytes } from 'node:crypto';
import type { EnrolledNode, NewNode, NodeCertificateRepository, NodeEnrollmentRepository, OwnerLookup, RecoveryRepository, StoredCertificate } from '@palisade/control';
import { DomainError } from '@palisade/errors';
import type { DataSource } from 'typeorm';
import type { TenantSession } from '../session.ts';
import { violatesUnique } from '../sql-state.ts';
import { inSystemTransaction } from '../transactions.ts';

interface NodeRow {
  readonly id: string;
  readonly cluster_id: string;
  readonly name: string;
  readonly state: 'active' | 'locked' | 'revoked';
  readonly state_reason: string | null;
  readonly public_key: Buffer;
}

const COLUMNS = 'id, cluster_id, name, state, state_reason, public_key';

export function postgresNodeEnrollment(session: TenantSession): NodeEnrollmentRepository {
  const { tenantId } = session.context;
  return {
    async isTenantSuspended() {
      const [row] = await session.query('SELECT 1 FROM palisade.tenants WHERE tenant_id = $1 AND suspended_at IS NOT NULL', [tenantId]);
      return row !== undefined;
    },
    async findByEnrollments(enrollmentUuids) {
      const rows = await session.query<NodeRow & { enrollment_uuid: string }>(`SELECT ${COLUMNS}, enrollment_uuid FROM palisade.nodes WHERE tenant_id = $1 AND enrollment_uuid = ANY ($2::uuid[])`, [tenantId, enrollmentUuids]);
      return rows.map((row) => ({ ...toNode(row), enrollmentUuid: row.enrollment_uuid }));
    },
    async findForUpdate(id) {
      const [row] = await session.query<NodeRow>(`SELECT ${COLUMNS} FROM palisade.nodes WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE`, [tenantId, id]);
      return row && toNode(row);
    },
    async insertAll(nodes) {
      const names = await freeNames(session, nodes);
      try {
        const rows = await session.query<NodeRow & { enrollment_uuid: string }>(
          `INSERT INTO palisade.nodes (tenant_id, cluster_id, name, enrollment_uuid, token_id, public_key, labels, hostname, agent_version, arch, kernel, addresses, attestation)
           SELECT $1, v.cluster_id, v.name, v.enrollment_uuid, v.token_id, v.public_key, v.labels, v.hostname, v.agent_version, v.arch, v.kernel,
                  ARRAY(SELECT jsonb_array_elements_text(v.addresses)), v.attestation
           FROM unnest($2::uuid[], $3::text[], $4::uuid[], $5::uuid[], $6::bytea[], $7::jsonb[], $8::text[], $9::text[], $10::text[], $11::jsonb[], $12::jsonb[], $13::jsonb[])
             AS v(cluster_id, name, enrollment_uuid, token_id, public_key, labels, hostname, agent_version, arch, kernel, addresses, attestation)
           RETURNING ${COLUMNS}, enrollment_uuid`,
          [tenantId, nodes.map((n) => n.clusterId), names, nodes.map((n) => n.enrollmentUuid), nodes.map((n) => n.tokenId), nodes.map((n) => n.publicKey), nodes.map((n) => JSON.stringify(n.labels)),
            nodes.map((n) => n.description.hostname), nodes.map((n) => n.description.agentVersion), nodes.map((n) => n.description.arch), nodes.map((n) => JSON.stringify(n.description.kernel)),
            nodes.map((n) => JSON.stringify(n.description.addresses)), nodes.map((n) => JSON.stringify(n.attestation))],
        );
        const byUuid = new Map(rows.map((row) => [row.enrollment_uuid, toNode(row)]));
        return nodes.map((node) => byUuid.get(node.enrollmentUuid)!);
      } catch (error) {
        // The same machine asked twice at once, or two machines with one hostname: the caller asks again and finds the other.
        if (violatesUnique(error, 'nodes_tenant_id_enrollment_uuid_key') || violatesUnique(error, 'nodes_tenant_id_cluster_id_name_key')) {
          throw new DomainError('service.unavailable', 'Another enrollment of the same machine was faster. Try again.', { cause: error });
        }
        throw error;
      }
    },
    async hasActiveSubject(subject) {
      const rows = await session.query("SELECT 1 AS taken FROM palisade.nodes WHERE tenant_id = $1 AND state = 'active' AND attestation->>'subject' = $2 LIMIT 1", [tenantId, subject]);
      return rows.length > 0;
    },
    async lock(id, reason) {
      await session.execute("UPDATE palisade.nodes SET state = 'locked', state_reason = $3 WHERE tenant_id = $1 AND id = $2", [tenantId, id, reason]);
    },
    async bindKey(id, publicKey) {
      await session.execute('UPDATE palisade.nodes SET public_key = $3 WHERE tenant_id = $1 AND id = $2', [tenantId, id, publicKey]);
    },
  };
}

/** Hostnames, or with a suffix where the cluster or the list has that name already. */
async function freeNames(session: TenantSession, nodes: readonly NewNode[]): Promise<string[]> {
  const bases = nodes.map((node) => node.description.hostname.toLowerCase().replace(/[^a-z0-9.-]+/g, '-').slice(0, 200) || 'node');
  const rows = await session.query<{ name: string }>('SELECT name FROM palisade.nodes WHERE tenant_id = $1 AND cluster_id = ANY ($2::uuid[]) AND name = ANY ($3::text[])', [
    session.context.tenantId,
    [...new Set(nodes.map((node) => node.clusterId))],
    bases,
  ]);
  const taken = new Set(rows.map((row) => row.name));
  return bases.map((base) => {
    const name = taken.has(base) ? `${base}-${randomBytes(4).toString('hex')}` : base;
    taken.add(name);
    return name;
  });
}

function toNode(row: NodeRow): EnrolledNode {
  return { id: row.id, clusterId: row.cluster_id, name: row.name, state: row.state, stateReason: row.state_reason, publicKey: row.public_key };
}

interface CertificateRow {
  readonly node_id: string;
  readonly serial: string;
  readonly chain_pem: string;
  readonly public_key: Buffer;
  readonly replaced_by: string | null;
}

export function postgresNodeCertificates(session: TenantSession): NodeCertificateRepository {
  const { tenantId } = session.context;
  const one = async (where: string, values: readonly unknown[]): Promise<StoredCertificate | undefined> => {
    const [row] = await session.query<CertificateRow>(
      `SELECT node_id, serial, chain_pem, public_key, replaced_by FROM palisade.node_certificates WHERE tenant_id = $1 AND ${where}`,
      [tenantId, ...values],
    );
    return row && { nodeId: row.node_id, serial: row.serial, chainPem: row.chain_pem, publicKey: row.public_key, replacedBy: row.replaced_by };
  };
  return {
    async insertAll(issued, issuedFor) {
      await session.execute(
        `INSERT INTO palisade.node_certificates (tenant_id, issued_for, node_id, serial, chain_pem, public_key, not_before, not_after)
         SELECT $1, $2, v.node_id, v.serial, v.chain_pem, v.public_key, v.not_before, v.not_after
         FROM unnest($3::uuid[], $4::text[], $5::text[], $6::bytea[], $7::timestamptz[], $8::timestamptz[]) AS v(node_id, serial, chain_pem, public_key, not_before, not_after)`,
        [session.context.tenantId, issuedFor, issued.map((i) => i.nodeId), issued.map((i) => i.certificate.serial), issued.map((i) => i.certificate.chainPem), issued.map((i) => i.certificate.publicKey),
          issued.map((i) => i.certificate.notBefore), issued.map((i) => i.certificate.notAfter)],
      );
    },
    find: (serial) => one('serial = $2', [serial]),
    latest: (nodeId) => one('node_id = $2 ORDER BY issued_at DESC LIMIT 1', [nodeId]),
    async markReplaced(serial, by) {
      await session.execute('UPDATE palisade.node_certificates SET replaced_by = $3 WHERE tenant_id = $1 AND serial = $2', [tenantId, serial, by]);
    },
    async wasPresented(nodeId, serial) {
      const rows = await session.query('SELECT 1 AS seen FROM palisade.node_observations WHERE tenant_id = $1 AND node_id = $2 AND serial = $3', [tenantId, nodeId, serial]);
      return rows.length > 0;
    },
  };
}

export function postgresRecovery(session: TenantSession): RecoveryRepository {
  return {
    async consume(nonce, nodeId) {
      const used = await session.execute(
        'UPDATE palisade.recovery_challenges SET used_at = now() WHERE nonce = $1 AND node_id = $2 AND used_at IS NULL AND expires_at > now()',
        [nonce, nodeId],
      );
      return used === 1;
    },
  };
}

/** Asks the narrow functions that cross tenants. */
export function postgresOwnerLookup(source: DataSource): OwnerLookup {
  return {
    ofEnrollmentToken: (publicId) =>
      inSystemTransaction(source, async (session) => {
        const [row] = await session.query<{ tenant_id: string; token_id: string }>('SELECT tenant_id, token_id FROM palisade.tenant_of_enrollment_token($1)', [publicId]);
        return row && { tenantId: row.tenant_id, tokenId: row.token_id };
      }),
    ofNode: (nodeId) =>
      inSystemTransaction(source, async (session) => {
        const [row] = await session.query<{ tenant_id: string | null }>('SELECT palisade.tenant_of_node($1) AS tenant_id', [nodeId]);
        return row?.tenant_id ?? undefined;
      }),
  };
}
