/** Flows as simulation and recommendation take them; stores map their records to this. */

import type { Direction } from '../resolution.ts';
import type { FlowQuery, FlowVerdict } from '../verdict.ts';

/** One connection (or several alike) that was seen in the forward direction; replies are not recorded. */
export interface RecordedFlow {
  readonly flow: FlowQuery;
  /** What happened to it where it was seen. */
  readonly verdict: FlowVerdict;
  /** Enforcement point that saw it. */
  readonly direction: Direction;
  /** How many connections it stands for. */
  readonly weight: number;
  /** To find it again in the store. */
  readonly id?: string;
}
