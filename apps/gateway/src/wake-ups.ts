import type { Wake } from '@palisade/store';
import type { NodeAdmission } from './admission/node-admission.ts';
import type { CheckInDesk } from './check-in/check-in-desk.ts';
import type { RequestBoard } from './requests/request-board.ts';

/** Who is told of wake-ups. */
export interface WakeUpListeners {
  readonly checkIns: Pick<CheckInDesk, 'stir' | 'stirAll'>;
  readonly nodes: Pick<NodeAdmission, 'forget' | 'forgetAll'>;
  readonly board: Pick<RequestBoard, 'look'>;
}

const FOR_CHECK_INS: ReadonlySet<string> = new Set(['desired', 'identities', 'node-state']);

/** Tells of a wake-up whoever has to look again. */
export function passOn({ topic, tenant, cluster }: Wake, { checkIns, nodes, board }: WakeUpListeners): void {
  if (topic === 'agent-outcome') board.look();
  if (topic === 'node-state' && tenant !== null) nodes.forget(tenant);
  if (FOR_CHECK_INS.has(topic) && tenant !== null && cluster !== null) checkIns.stir(tenant, cluster);
  if (topic !== 'missed') return;
  board.look();
  nodes.forgetAll();
  checkIns.stirAll();
}
