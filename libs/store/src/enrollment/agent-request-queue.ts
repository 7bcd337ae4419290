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
  /** Stores outcomes and wakes the gateways that wait. */
  finish(answers: readonly { readonly id: string; readonly outcome: unknown }[]): Promise<void>;
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
    async finish(answers) {
      if (answers.length === 0) return;
      await inSystemTransaction(source, async (session) => {
        await session.execute(
          'UPDATE palisade.agent_requests r SET finished_at = now(), outcome = v.outcome FROM unnest($1::uuid[], $2::jsonb[]) AS v(id, outcome) WHERE r.id = v.id AND r.finished_at IS NULL',
          [answers.map(({ id }) => id), answers.map(({ outcome }) => JSON.stringify(outcome))],
        );
        await session.query("SELECT palisade.wake('agent-outcome', '{}')");
      });
    },
    sweep: () =>
      inSystemTransaction(source, async (session) => {
        await session.execute("DELETE FROM palisade.recovery_challenges WHERE expires_at < now() - interval '10 minutes'");
        return session.execute("DELETE FROM palisade.agent_requests WHERE created_at < now() - interval '10 minutes'");
      }),
  };
}
