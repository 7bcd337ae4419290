/**
 * What the catalogue test lets pass, each with its reason. An exception without a table or index fails too.
 * Everything else in the schema `palisade` obeys the rules of tenant tables.
 */
export const CATALOGUE_EXCEPTIONS: {
  /** Tables without tenant data. */
  readonly globalTables: Readonly<Record<string, string>>;
  /** Indexes (and keys) that do not lead with tenant_id. */
  readonly indexesAcrossTenants: Readonly<Record<string, string>>;
  /** SECURITY DEFINER functions that run as the owner of the schema: it is bound by row-level security, but may change tables. */
  readonly functionsOfOwner: Readonly<Record<string, string>>;
} = {
  globalTables: {
    schema_step: 'The names of the migrations that ran; written by the owner only.',
    agent_requests: 'What an agent asks for before the worker has found out its tenant; rows live for minutes.',
    recovery_challenges: 'Nonces for nodes whose tenant the worker finds out; rows live for minutes.',
    trust_metadata: 'Root and image repository are one for the whole platform, and public.',
  },
  indexesAcrossTenants: {
    api_tokens_public_id: 'The public id of a bearer token is looked up before its tenant is known.',
    enrollment_tokens_public_id_key: 'The public id of an enrollment token is looked up before its tenant is known.',
    nodes_by_id: 'A node that recovers names itself before its tenant is known.',
    outbox_in_order: 'The dispatcher takes work in order across tenants.',
  },
  functionsOfOwner: {
    'palisade.flow_ensure_partitions(date,date)': 'Only the owner of a table can make its partitions.',
    'palisade.flow_partition_days()': 'Goes with flow_ensure_partitions.',
    'palisade.flow_drop_partitions(date)': 'Only the owner of a table can drop its partitions.',
  },
};
