import type { DataSource } from 'typeorm';
import { inSystemTransaction } from '../transactions.ts';

export interface TrustMetadataFile {
  readonly version: number;
  readonly bytes: Uint8Array;
}

/** Root, targets, snapshot and timestamp as agents fetch them. */
export interface TrustMetadataStore {
  newest(role: string): Promise<TrustMetadataFile | undefined>;
  /** Stores files that belong together in one transaction; a version that is there already stays as it is. */
  publish(files: readonly (TrustMetadataFile & { readonly role: string })[]): Promise<void>;
}

export function postgresTrustMetadata(source: DataSource): TrustMetadataStore {
  return {
    newest: (role) =>
      inSystemTransaction(source, async (session) => {
        const [row] = await session.query<{ version: string; bytes: Buffer }>('SELECT version, bytes FROM palisade.trust_metadata WHERE role = $1 ORDER BY version DESC LIMIT 1', [role]);
        return row && { version: Number(row.version), bytes: row.bytes };
      }),
    publish: (files) =>
      inSystemTransaction(source, async (session) => {
        for (const file of files) {
          await session.execute('INSERT INTO palisade.trust_metadata (role, version, bytes) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING', [file.role, file.version, file.bytes]);
        }
      }),
  };
}
