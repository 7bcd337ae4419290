import type { FlowAccount } from './flow-account.ts';
import type { FlowColumns } from './flow-columns.ts';

/** What an agent says about a batch. Who the agent is comes from its certificate, never from here. */
export interface FlowBatchHeader {
  /** UUID, lower case; chosen by each agent process. */
  readonly bootId: string;
  /** From 1 with each boot id. */
  readonly seq: number;
  /** First and last sighting, Unix microseconds. */
  readonly windowStartUs: number;
  readonly windowEndUs: number;
  readonly account: FlowAccount;
}

export interface FlowBatch extends FlowBatchHeader {
  readonly columns: FlowColumns;
}
