import type { EnrolledNode, NodeCertificateRepository, NodeEnrollmentRepository, OwnerLookup, RecoveryRepository, StoredCertificate } from '@palisade/control';
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
    async findByEnrollment(enrollmentUuid) {
      const [row] = await session.query<NodeRow>(`SELECT ${COLUMNS} FROM palisade.nodes WHERE tenant_id = $1 AND enrollment_uuid = $2`, [tenantId, enrollmentUuid]);
      return row && toNode(row);
    },
    async findForUpdate(id) {
      const [row] = await session.query<NodeRow>(`SELECT ${COLUMNS} FROM palisade.nodes WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE`, [tenantId, id]);
      return row && toNode(row);
    },
    async insert(node) {
      const { description } = node;
      const name = await freeName(session, node.clusterId, description.hostname);
      try {
        const [row] = await session.query<NodeRow>(
          `INSERT INTO palisade.nodes (tenant_id, cluster_id, name, enrollment_uuid, token_id, public_key, labels, hostname,
             agent_version, arch, kernel, addresses, attestation)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING ${COLUMNS}`,
          [tenantId, node.clusterId, name, node.enrollmentUuid, node.tokenId, node.publicKey, JSON.stringify(node.labels), description.hostname,
            description.agentVersion, description.arch, JSON.stringify(description.kernel), description.addresses, JSON.stringify(node.attestation)],
        );
        return toNode(row!);
      } catch (error) {
        // The same machine asked twice at once, or two machines with one hostname: the caller asks again and finds the other.
        if (violatesUnique(error, 'nodes_tenant_id_enrollment_uuid_key') || violatesUnique(error, 'nodes_tenant_id_cluster_id_name_key')) {
          throw new DomainError('service.unavailable', 'Another enrollment of the same machine was faster. Try again.', { cause: error });
        }
        throw error;
      }
    },
    async lock(id, reason) {
      await session.execute("UPDATE palisade.nodes SET state = 'locked', state_reason = $3 WHERE tenant_id = $1 AND id = $2", [tenantId, id, reason]);
    },
    async bindKey(id, publicKey) {
      await session.execute('UPDATE palisade.nodes SET public_key = $3 WHERE tenant_id = $1 AND id = $2', [tenantId, id, publicKey]);
    },
  };
}

/** The hostname, or with a number behind it where the cluster has that name already. */
async function freeName(session: TenantSession, clusterId: string, hostname: string): Promise<string> {
  const base = hostname.toLowerCase().replace(/[^a-z0-9.-]+/g, '-').slice(0, 200) || 'node';
  const [taken] = await session.query('SELECT 1 AS taken FROM palisade.nodes WHERE tenant_id = $1 AND cluster_id = $2 AND name = $3', [session.context.tenantId, clusterId, base]);
  if (taken === undefined) return base;
  const [free] = await session.query<{ suffix: string }>("SELECT substr(md5(uuidv7()::text), 1, 8) AS suffix");
  return `${base}-${free!.suffix}`;
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
    async insert(nodeId, certificate, issuedFor) {
      await session.execute(
        `INSERT INTO palisade.node_certificates (tenant_id, node_id, serial, chain_pem, public_key, not_before, not_after, issued_for)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
        [tenantId, nodeId, certificate.serial, certificate.chainPem, certificate.publicKey, certificate.notBefore, certificate.notAfter, issuedFor],
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
