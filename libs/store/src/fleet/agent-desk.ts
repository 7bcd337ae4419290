import type { AgentDesk, CheckInRecord, NodeOrders } from '@palisade/control';
import pg from 'pg';
import { openPool, type PoolOptions } from '../pool.ts';

/** A long-lived pool of the gateway, plain `pg`: every check-in of ten thousand nodes goes through it. */
export function openAgentPool(options: PoolOptions): pg.Pool {
  return openPool(options, {
    // A transaction goes out whole and costs one round trip, however busy the machines are on both ends.
    pipeline: true,
    statement_timeout: 10_000,
    idle_in_transaction_session_timeout: 15_000,
    idleTimeoutMillis: 30_000,
  });
}

interface StateRow {
  readonly id: string;
  readonly state: NodeOrders['nodeState'];
}

interface DesiredRow {
  readonly node_id: string;
  readonly epoch: string;
  readonly n: string;
  readonly content_digest: string;
  readonly manifest_sha256: string;
  readonly assignment_id: string;
  readonly leaf_index: number;
  readonly proof: Buffer;
}

/** Suspension of the tenant is looked at with every check-in, like the node's own state. */
const STATES = `SELECT n.id, CASE WHEN t.suspended_at IS NULL THEN n.state ELSE 'suspended' END AS state
  FROM palisade.nodes n JOIN palisade.tenants t ON t.tenant_id = n.tenant_id WHERE n.tenant_id = $1 AND n.id = ANY ($2::uuid[])`;

/**
 * Not joined with the states: a wave fills this table within one transaction, and a plan that believes it to be small
 * compares every node that waits with every node of the tenant.
 */
const DESIRED = `SELECT node_id, epoch, n, content_digest, manifest_sha256, assignment_id, leaf_index, proof
  FROM palisade.node_desired WHERE tenant_id = $1 AND node_id = ANY ($2::uuid[])`;

/**
 * The observation counts as changed when what it says of bundles changed, not because a counter moved; a change wakes
 * the worker when the transaction commits.
 */
const OBSERVE = `WITH seen AS (INSERT INTO palisade.node_observations AS o (tenant_id, node_id, cluster_id, serial, boot_id, observed, denied_packets, agent_version, signed, seen_at)
  SELECT $1, v.node_id, v.cluster_id, v.serial, v.boot_id, v.observed, v.denied, v.version, v.signed, now()
  FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::jsonb[], $7::bigint[], $8::text[], $9::bytea[]) AS v(node_id, cluster_id, serial, boot_id, observed, denied, version, signed)
  JOIN palisade.nodes n ON n.tenant_id = $1 AND n.id = v.node_id AND n.cluster_id = v.cluster_id AND n.state = 'active'
  ON CONFLICT (tenant_id, node_id) DO UPDATE SET serial = EXCLUDED.serial, boot_id = EXCLUDED.boot_id, observed = EXCLUDED.observed,
    denied_packets = EXCLUDED.denied_packets, signed = EXCLUDED.signed, agent_version = COALESCE(EXCLUDED.agent_version, o.agent_version), seen_at = now(),
    change_count = o.change_count + CASE WHEN ${differs('generation')} OR ${differs('contentDigest')} OR ${differs('state')} OR ${differs('subjectGeneration')} OR ${differs('reason')} OR ${differs('localActs')} THEN 1 ELSE 0 END
  RETURNING o.cluster_id, old.change_count IS DISTINCT FROM new.change_count AS changed)
  SELECT palisade.wake('observed', jsonb_build_object('cluster', c.cluster_id)) FROM (SELECT DISTINCT cluster_id FROM seen WHERE changed) c`;

function differs(field: string): string {
  return `o.observed->'${field}' IS DISTINCT FROM EXCLUDED.observed->'${field}'`;
}

const REPORT = `WITH reported AS (INSERT INTO palisade.endpoint_reports AS e (tenant_id, node_id, cluster_id, envelope)
  SELECT $1, v.node_id, v.cluster_id, v.envelope FROM unnest($2::uuid[], $3::uuid[], $4::bytea[]) AS v(node_id, cluster_id, envelope)
  JOIN palisade.nodes n ON n.tenant_id = $1 AND n.id = v.node_id AND n.cluster_id = v.cluster_id AND n.state = 'active'
  ON CONFLICT (tenant_id, node_id) DO UPDATE SET envelope = EXCLUDED.envelope, version = e.version + 1, received_at = now()
  WHERE e.envelope IS DISTINCT FROM EXCLUDED.envelope RETURNING e.cluster_id)
  SELECT palisade.wake('endpoint-report', jsonb_build_object('cluster', c.cluster_id)) FROM (SELECT DISTINCT cluster_id FROM reported) c`;

export function postgresAgentDesk(pool: pg.Pool): AgentDesk {
  return {
    async checkIn(tenantId, records) {
      const reports = records.filter((record) => record.endpointReport !== null);
      const results = await inOneTrip(pool, tenantId, [
        observe(tenantId, records),
        ...(reports.length === 0 ? [] : [{ name: 'report', text: REPORT, values: [tenantId, reports.map((r) => r.nodeId), reports.map((r) => r.clusterId), reports.map((r) => r.endpointReport)] }]),
        ...orders(tenantId, records.map((record) => record.nodeId)),
      ]);
      return ordersByNode(results);
    },
    async orders(tenantId, nodeIds) {
      return ordersByNode(await inOneTrip(pool, tenantId, orders(tenantId, nodeIds)));
    },
    assignment: (tenantId, id) => bytesOf(pool, tenantId, 'SELECT envelope AS bytes FROM palisade.wave_assignments WHERE tenant_id = $1 AND id = $2', [tenantId, id]),
    async identityRevision(tenantId, clusterId) {
      const [result] = await inOneTrip(pool, tenantId, [{ text: 'SELECT revision FROM palisade.identity_heads WHERE tenant_id = $1 AND cluster_id = $2', values: [tenantId, clusterId] }]);
      return Number((result!.rows[0] as { revision: string } | undefined)?.revision ?? 0);
    },
    async epoch(tenantId, clusterId) {
      const [result] = await inOneTrip(pool, tenantId, [{ text: 'SELECT COALESCE(max(epoch), 1) AS epoch FROM palisade.epoch_recoveries WHERE tenant_id = $1 AND cluster_id = $2', values: [tenantId, clusterId] }]);
      return Number((result!.rows[0] as { epoch: string }).epoch);
    },
    recovery: (tenantId, clusterId) => bytesOf(pool, tenantId, 'SELECT envelope AS bytes FROM palisade.epoch_recoveries WHERE tenant_id = $1 AND cluster_id = $2 ORDER BY epoch DESC LIMIT 1', [tenantId, clusterId]),
    async metadata(role, version) {
      const { rows } = await pool.query<{ version: string; bytes: Buffer }>('SELECT version, bytes FROM palisade.trust_metadata WHERE role = $1 AND ($2::bigint IS NULL OR version = $2) ORDER BY version DESC LIMIT 1', [role, version]);
      return rows[0] && { version: Number(rows[0].version), bytes: rows[0].bytes };
    },
    manifest: (tenantId, clusterId, sha256) => bytesOf(pool, tenantId, 'SELECT manifest AS bytes FROM palisade.generations WHERE tenant_id = $1 AND cluster_id = $2 AND manifest_sha256 = $3', [tenantId, clusterId, sha256]),
    blob: (tenantId, sha256) => bytesOf(pool, tenantId, 'SELECT bytes FROM palisade.blobs WHERE tenant_id = $1 AND sha256 = $2', [tenantId, sha256]),
    identities: (tenantId, clusterId, since, maxBytes) => inTenant(pool, tenantId, (client) => readIdentities(client, tenantId, clusterId, since, maxBytes)),
  };
}

function observe(tenantId: string, records: readonly CheckInRecord[]): pg.QueryConfig {
  return {
    name: 'observe',
    text: OBSERVE,
    values: [tenantId, records.map((r) => r.nodeId), records.map((r) => r.clusterId), records.map((r) => r.serial), records.map((r) => r.bootId),
      records.map((r) => JSON.stringify(r.observed)), records.map((r) => r.observed.deniedPackets), records.map((r) => r.agentVersion), records.map((r) => r.signedObservation)],
  };
}

function orders(tenantId: string, nodeIds: readonly string[]): readonly pg.QueryConfig[] {
  return [{ name: 'states', text: STATES, values: [tenantId, nodeIds] }, { name: 'desired', text: DESIRED, values: [tenantId, nodeIds] }];
}

/** @param results the last two are those of `orders` */
function ordersByNode(results: readonly pg.QueryResult[]): ReadonlyMap<string, NodeOrders> {
  const [states, desired] = results.slice(-2).map(({ rows }) => rows) as [StateRow[], DesiredRow[]];
  const byNode = new Map(desired.map((row) => [row.node_id, row]));
  return new Map(states.map(({ id, state }) => [id, { nodeState: state, desired: toDesired(byNode.get(id)) }]));
}

function toDesired(row: DesiredRow | undefined): NodeOrders['desired'] {
  return (
    row === undefined ? null
    : {
        epoch: Number(row.epoch), n: Number(row.n), contentDigest: row.content_digest, manifestSha256: row.manifest_sha256,
        assignmentId: row.assignment_id, leafIndex: row.leaf_index, proof: row.proof,
      }
  );
}

/** Increments that connect to `since`; where they do not reach back that far, the newest snapshot and what follows it. */
async function readIdentities(client: pg.PoolClient, tenantId: string, clusterId: string, since: number, maxBytes: number): Promise<{ envelopes: Uint8Array[]; more: boolean }> {
  const connected = await client.query<{ revision: string }>(
    "SELECT revision FROM palisade.identity_stream WHERE tenant_id = $1 AND cluster_id = $2 AND kind = 'increment' AND previous_revision = $3",
    [tenantId, clusterId, since],
  );
  const head = await client.query<{ revision: string; snapshot_revision: string }>('SELECT revision, snapshot_revision FROM palisade.identity_heads WHERE tenant_id = $1 AND cluster_id = $2', [tenantId, clusterId]);
  const newest = Number(head.rows[0]?.revision ?? 0);
  if (newest === 0 || newest === since) return { envelopes: [], more: false };
  if (since === 0 || since > newest || connected.rows.length === 0) {
    const snapshot = await client.query<{ envelope: Buffer }>(
      "SELECT envelope FROM palisade.identity_stream WHERE tenant_id = $1 AND cluster_id = $2 AND kind = 'snapshot' AND revision = $3",
      [tenantId, clusterId, head.rows[0]!.snapshot_revision],
    );
    return { envelopes: snapshot.rows.map((row) => row.envelope), more: Number(head.rows[0]!.snapshot_revision) < newest };
  }
  const { rows } = await client.query<{ envelope: Buffer; revision: string }>(
    `SELECT envelope, revision FROM palisade.identity_stream WHERE tenant_id = $1 AND cluster_id = $2 AND kind = 'increment' AND previous_revision >= $3 ORDER BY revision LIMIT 64`,
    [tenantId, clusterId, since],
  );
  const envelopes: Uint8Array[] = [];
  let bytes = 0;
  let last = since;
  for (const row of rows) {
    bytes += row.envelope.byteLength;
    if (bytes > maxBytes && envelopes.length > 0) break;
    envelopes.push(row.envelope);
    last = Number(row.revision);
  }
  return { envelopes, more: last < newest };
}

async function bytesOf(pool: pg.Pool, tenantId: string, text: string, values: unknown[]): Promise<Uint8Array | undefined> {
  const [result] = await inOneTrip(pool, tenantId, [{ text, values }]);
  return (result!.rows[0] as { bytes: Buffer } | undefined)?.bytes;
}

const TENANT = (tenantId: string): pg.QueryConfig => ({ name: 'tenant', text: "SELECT set_config('app.tenant_id', $1, true)", values: [tenantId] });

/**
 * A transaction whose statements do not depend on each other's results, sent whole. One that fails spoils those after it,
 * and COMMIT is then a rollback: PostgreSQL sees to that.
 */
async function inOneTrip(pool: pg.Pool, tenantId: string, statements: readonly pg.QueryConfig[]): Promise<readonly pg.QueryResult[]> {
  const client = await pool.connect();
  const sent = ['BEGIN', TENANT(tenantId), ...statements, 'COMMIT'].map((statement) => client.query(statement));
  const settled = await Promise.allSettled(sent);
  const failed = settled.find((one) => one.status === 'rejected');
  // An error of the server leaves the connection clean; any other may have left half a transaction on it.
  client.release(failed !== undefined && !(failed.reason instanceof pg.DatabaseError) ? (failed.reason as Error) : undefined);
  if (failed !== undefined) throw failed.reason;
  return settled.slice(2, -1).map((one) => (one as PromiseFulfilledResult<pg.QueryResult>).value);
}

async function inTenant<T>(pool: pg.Pool, tenantId: string, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query('BEGIN');
    await client.query(TENANT(tenantId));
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch((failure: Error) => (broken = failure));
    throw error;
  } finally {
    // A connection that cannot roll back is destroyed, not given to the next caller.
    client.release(broken);
  }
}
