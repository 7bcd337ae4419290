/** Where tables live: one server, or every server of a cluster. */
export interface ClickHouseLayout {
  /** Name of the database; letters, digits and underscores. */
  readonly database: string;
  /**
   * Name of the cluster in the servers' `remote_servers`; absent: a single server. With it, tables are replicated (the
   * macros `{shard}` and `{replica}` must be set on every server) and are read through Distributed tables.
   */
  readonly cluster?: string;
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;

/** @throws RangeError when a name could not stand in a statement as it is */
export function checkLayout(layout: ClickHouseLayout): ClickHouseLayout {
  for (const name of [layout.database, ...(layout.cluster === undefined ? [] : [layout.cluster])]) {
    if (!NAME.test(name)) throw new RangeError(`"${name}" cannot be the name of a ClickHouse database or cluster: use letters, digits and underscores.`);
  }
  return layout;
}

/** The words in which statements differ between a single server and a cluster. */
export class SchemaWords {
  readonly layout: ClickHouseLayout;

  constructor(layout: ClickHouseLayout) {
    this.layout = checkLayout(layout);
  }

  /** `database.table ON CLUSTER …`: for statements that change the schema or remove data. */
  everywhere(table: string): string {
    return `${this.local(table)}${this.onCluster}`;
  }

  get onCluster(): string {
    return this.layout.cluster === undefined ? '' : ` ON CLUSTER ${this.layout.cluster}`;
  }

  /** The table of the server that is asked; what is inserted goes there. */
  local(table: string): string {
    return `${this.layout.database}.${table}`;
  }

  /** The table with the rows of all shards. */
  all(table: string): string {
    return this.layout.cluster === undefined ? this.local(table) : this.local(`${table}_all`);
  }

  /** Condition on another table: with shards, its answer is made once and sent to all of them. */
  get isIn(): string {
    return this.layout.cluster === undefined ? 'IN' : 'GLOBAL IN';
  }

  /** `MergeTree` or one of its kind, replicated on a cluster. Retried inserts are known again by their token, or by their rows. */
  engine(kind: 'MergeTree' | 'ReplacingMergeTree' | 'SummingMergeTree' | 'AggregatingMergeTree', table: string, summed?: readonly string[]): string {
    const columns = summed === undefined ? '' : `(${summed.join(', ')})`;
    if (this.layout.cluster === undefined) return `${kind}(${columns})`;
    const path = `'/palisade/tables/{shard}/${this.layout.database}.${table}', '{replica}'`;
    return `Replicated${kind}(${columns === '' ? path : `${path}, ${columns}`})`;
  }

  /** How many inserts back a retry is recognised. */
  get remembers(): string {
    return this.layout.cluster === undefined
      ? 'SETTINGS non_replicated_deduplication_window = 10000'
      : 'SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 2592000';
  }
}
