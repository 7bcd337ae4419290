import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withClient } from '../../../../tools/postgres/database.ts';
import { createTestDatabase, type TestDatabase } from '../../../../tools/postgres/test-database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

interface Privilege {
  readonly table: string;
  readonly privilege: string;
  readonly column: string;
}

/** What whoever owns the gateway can write, by table, as PostgreSQL itself says. */
const writable = (): Promise<Privilege[]> =>
  withClient(database.adminUrl, async (client) => {
    const { rows } = await client.query<Privilege>(
      `SELECT DISTINCT table_name AS table, privilege_type AS privilege, column_name AS column FROM information_schema.column_privileges
       WHERE grantee IN ('palisade_gateway', 'PUBLIC') AND table_schema = 'palisade' AND privilege_type IN ('INSERT', 'UPDATE')
       UNION SELECT table_name, privilege_type, '*' FROM information_schema.table_privileges
       WHERE grantee IN ('palisade_gateway', 'PUBLIC') AND table_schema = 'palisade' AND privilege_type IN ('DELETE', 'TRUNCATE') ORDER BY 1, 2, 3`,
    );
    return rows;
  });

describe('the role of the gateway', () => {
  it('writes observations, reports and requests, and nothing else', async () => {
    const tables = [...new Set((await writable()).map((row) => row.table))];
    expect(tables).toEqual(['agent_requests', 'endpoint_reports', 'node_observations', 'recovery_challenges']);
  });

  it('deletes nothing', async () => {
    expect((await writable()).filter((row) => row.privilege === 'DELETE' || row.privilege === 'TRUNCATE')).toEqual([]);
  });

  it.each([
    ['policies', "INSERT INTO palisade.policies (tenant_id, cluster_id, kind, name) VALUES (gen_random_uuid(), gen_random_uuid(), 'x', 'x')"],
    ['rollouts', "UPDATE palisade.rollouts SET state = 'running'"],
    ['what a node is to run', "UPDATE palisade.node_desired SET n = 99"],
    ['identities', "INSERT INTO palisade.identities (tenant_id, id, labels, labels_digest) VALUES (gen_random_uuid(), 300, '{}', '')"],
    ['the identity stream', "UPDATE palisade.identity_stream SET envelope = ''"],
    ['labels of nodes', "UPDATE palisade.nodes SET labels = '{}'"],
    ['the state of nodes', "UPDATE palisade.nodes SET state = 'active'"],
    ['certificates', "DELETE FROM palisade.node_certificates"],
    ['outcomes of requests', "UPDATE palisade.agent_requests SET outcome = '{}'"],
    ['trust metadata', "DELETE FROM palisade.trust_metadata"],
  ])('cannot write %s', async (_what, statement) => {
    await expect(withClient(database.gatewayUrl, (client) => client.query(statement))).rejects.toMatchObject({ code: '42501' });
  });

  it.each([
    ['token secrets', 'SELECT secret_hash FROM palisade.enrollment_tokens'],
    ['secrets that agents sent', 'SELECT input FROM palisade.agent_requests'],
    ['policies', 'SELECT * FROM palisade.policy_versions'],
    ['audit events', 'SELECT * FROM palisade.audit_event'],
  ])('cannot read %s', async (_what, statement) => {
    await expect(withClient(database.gatewayUrl, (client) => client.query(statement))).rejects.toMatchObject({ code: '42501' });
  });
});
