import type { DataSource } from 'typeorm';
import { inSystemTransaction } from '../transactions.ts';

export interface OpenAgentRequest {
  readonly id: string;
  readonly kind: 'enroll' | 'renew' | 'recover';
  readonly input: Readonly<Record<string, unknown>>;
  readonly csr: Uint8Array;
  readonly sourceAddress: string;
}

/** The worker's side of what agents ask for through the gateway. */
export interface AgentRequestQueue {
  /** Open requests, oldest first. Another worker may be at the same ones: answering is idempotent. */
  open(limit: number): Promise<readonly OpenAgentRequest[]>;
  /** Stores the outcome and wakes the gateway that waits. */
  finish(id: string, outcome: unknown): Promise<void>;
  /** Drops what is older than ten minutes. @returns rows dropped */
  sweep(): Promise<number>;
}

export function postgresAgentRequestQueue(source: DataSource): AgentRequestQueue {
  return {
    open: (limit) =>
      inSystemTransaction(source, async (session) => {
        const rows = await session.query<{ id: string; kind: OpenAgentRequest['kind']; input: Record<string, unknown>; csr: Buffer; source_address: string }>(
          "SELECT id, kind, input, csr, source_address FROM palisade.agent_requests WHERE finished_at IS NULL AND created_at > now() - interval '30 seconds' ORDER BY id LIMIT $1",
          [limit],
        );
        return rows.map((row) => ({ id: row.id, kind: row.kind, input: row.input, csr: row.csr, sourceAddress: row.source_address }));
      }),
    finish: (id, outcome) =>
      inSystemTransaction(source, async (session) => {
        await session.execute('UPDATE palisade.agent_requests SET finished_at = now(), outcome = $2 WHERE id = $1 AND finished_at IS NULL', [id, JSON.stringify(outcome)]);
        await session.query("SELECT palisade.wake('agent-outcome', '{}')");
      }),
    sweep: () =>
      inSystemTransaction(source, async (session) => {
        await session.execute("DELETE FROM palisade.recovery_challenges WHERE expires_at < now() - interval '10 minutes'");
        return session.execute("DELETE FROM palisade.agent_requests WHERE created_at < now() - interval '10 minutes'");
      }),
  };
}
