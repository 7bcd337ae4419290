import type { AgentRequestDesk } from '@palisade/control';
import type pg from 'pg';

/** Challenges a node may have open at once: a bound on what a stranger who knows a node id can make us do. */
const OPEN_CHALLENGES = 3;

export function postgresAgentRequestDesk(pool: pg.Pool): AgentRequestDesk {
  return {
    async submit(request) {
      const { rows } = await pool.query<{ id: string }>(
        `WITH added AS (INSERT INTO palisade.agent_requests (kind, input, csr, source_address) VALUES ($1, $2, $3, $4) RETURNING id)
         SELECT id, palisade.wake('agent-request', '{}') FROM added`,
        [request.kind, JSON.stringify(request.input), request.csr, request.sourceAddress],
      );
      return rows[0]!.id;
    },
    async outcomes(ids) {
      const { rows } = await pool.query<{ id: string; outcome: unknown }>('SELECT id, outcome FROM palisade.agent_requests WHERE id = ANY ($1::uuid[]) AND finished_at IS NOT NULL', [ids]);
      return new Map(rows.map((row) => [row.id, row.outcome]));
    },
    async createChallenge(nodeId, nonce, lifetimeMs) {
      const { rows } = await pool.query<{ open: number }>('SELECT count(*)::integer AS open FROM palisade.recovery_challenges WHERE node_id = $1 AND expires_at > now()', [nodeId]);
      if (rows[0]!.open >= OPEN_CHALLENGES) return 'too-many';
      const expires = await pool.query<{ expires_at: Date }>(
        'WITH chosen AS (SELECT now() + make_interval(secs => $3) AS at), added AS (INSERT INTO palisade.recovery_challenges (nonce, node_id, expires_at) SELECT $1, $2, at FROM chosen) SELECT at AS expires_at FROM chosen',
        [nonce, nodeId, lifetimeMs / 1000],
      );
      return expires.rows[0]!.expires_at;
    },
  };
}
