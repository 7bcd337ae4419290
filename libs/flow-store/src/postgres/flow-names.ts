import { OTHER_PARTY } from '@palisade/flow';
import type { SentFlowBatch } from '@palisade/control';
import type { Pool } from 'pg';
import { entryKey, loadEntries, type DictionaryEntry } from './flow-dictionary.ts';
import { DICTIONARY_NAMES, DICTIONARY_TABLES, dictionaryEntries, partyEntry, type DictionaryName } from './flow-tables.ts';
import { beginAs, inTransaction } from './tenant-transaction.ts';

/** What the indexes of a batch mean in the store. */
export interface BatchNames {
  readonly ids: Readonly<Record<DictionaryName, Int32Array>>;
  /** Peer index → id of its party. The last one stands for the parties beyond the cap. */
  readonly parties: Int32Array;
}

/** Ids this process has seen committed; a missing one is looked up, so the bounds cost time, never correctness. */
const TENANT_ENTRIES = 100_000;
const TENANTS = 64;

type Table = DictionaryName | 'parties';
type Known = Readonly<Record<Table, Map<string, number>>>;

interface Missing {
  readonly table: DictionaryName;
  /** Of the entry itself. */
  readonly key: string;
  readonly entry: DictionaryEntry;
  /** Where the id goes once it is known. */
  readonly into: Int32Array;
  readonly index: number;
  /** What it is remembered under; a party is remembered under the key of its peer, which is at hand. */
  readonly under: Map<string, number>;
  readonly underKey: string;
}

function nothingKnown(): Known {
  return Object.fromEntries([...DICTIONARY_NAMES, 'parties'].map((name) => [name, new Map()])) as unknown as Known;
}

/**
 * Turns the dictionaries of batches into the integer ids of the store. What the store lacks is added and committed before any
 * row can name it: an entry that no row names does no harm.
 */
export class FlowNames {
  readonly #pool: Pool;
  /** In order of use: a tenant with many names pushes out its own, not those of others. */
  readonly #tenants = new Map<string, Known>();

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /** Names of each batch, in order. One transaction a tenant where anything is new, none otherwise. */
  async resolve(batches: readonly SentFlowBatch[]): Promise<BatchNames[]> {
    const missing = new Map<string, Missing[]>();
    const names = batches.map((sent) => {
      const { tenantId } = sent.sender;
      let own = missing.get(tenantId);
      if (own === undefined) missing.set(tenantId, (own = []));
      return this.#known(sent, this.#tenant(tenantId), own);
    });
    for (const [tenantId, own] of missing) if (own.length > 0) await this.#load(tenantId, own);
    return names;
  }

  #tenant(tenantId: string): Known {
    let known = this.#tenants.get(tenantId);
    const entries = known === undefined ? 0 : Object.values(known).reduce((sum, ids) => sum + ids.size, 0);
    if (known === undefined || entries > TENANT_ENTRIES) known = nothingKnown();
    this.#tenants.delete(tenantId);
    this.#tenants.set(tenantId, known);
    if (this.#tenants.size > TENANTS) for (const oldest of this.#tenants.keys()) { this.#tenants.delete(oldest); break; }
    return known;
  }

  #known({ sender, batch }: SentFlowBatch, known: Known, missing: Missing[]): BatchNames {
    const entries = dictionaryEntries(sender, batch.columns);
    const lists = new Map<readonly unknown[], string>();
    const ids = {} as Record<DictionaryName, Int32Array>;
    const { peers } = batch.columns;
    const parties = new Int32Array(peers.length + 1);
    for (const table of DICTIONARY_NAMES) {
      const own = entries[table];
      const into = new Int32Array(own.length);
      for (const [index, entry] of own.entries()) {
        const key = entryKey(entry, lists);
        const find = (id: number | undefined, to: Int32Array, under: Map<string, number>, wanted: () => DictionaryEntry): void => {
          if (id !== undefined) { to[index] = id; return; }
          const lacking = wanted();
          missing.push({ table, key: entryKey(lacking, lists), entry: lacking, into: to, index, under, underKey: key });
        };
        find(known[table].get(key), into, known[table], () => entry);
        const peer = table === 'peers' ? peers[index] : undefined;
        if (peer !== undefined) find(known.parties.get(key), parties, known.parties, () => partyEntry(peer));
      }
      ids[table] = into;
    }
    this.#other(parties, known, missing, lists);
    return { ids, parties };
  }

  #other(parties: Int32Array, known: Known, missing: Missing[], lists: Map<readonly unknown[], string>): void {
    const index = parties.length - 1;
    const id = known.parties.get('');
    if (id !== undefined) { parties[index] = id; return; }
    const entry = partyEntry(OTHER_PARTY);
    missing.push({ table: 'peers', key: entryKey(entry, lists), entry, into: parties, index, under: known.parties, underKey: '' });
  }

  async #load(tenantId: string, missing: readonly Missing[]): Promise<void> {
    const byTable = Map.groupBy(missing, ({ table }) => table);
    const found = await inTransaction(this.#pool, beginAs(tenantId), async (client) => {
      const all = new Map<DictionaryName, Map<string, number>>();
      for (const name of DICTIONARY_NAMES) {
        const wanted = byTable.get(name);
        if (wanted !== undefined) all.set(name, await loadEntries(client, DICTIONARY_TABLES[name], tenantId, new Map(wanted.map(({ key, entry }) => [key, entry]))));
      }
      return all;
    });
    for (const { table, key, into, index, under, underKey } of missing) {
      const id = found.get(table)?.get(key) ?? 0;
      into[index] = id;
      under.set(underKey, id);
    }
  }
}
