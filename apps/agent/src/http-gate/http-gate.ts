import { CONTROL_GATE, HTTP_GATE, MARK_GATE_MASK, MARK_STEER, MARK_STEER_AGAIN, MARK_STEER_MASK, type Action, type KernelFlowEvent, type KernelPort } from '@palisade/dataplane';
import type { DesiredState } from '../enforcer/enforcer.ts';
import { rowKey, type MapSet } from '../enforcer/map-set.ts';
import { ConnectionContexts } from './connection-contexts.ts';
import { GateServer } from './gate-server.ts';

/** Its name changes with its content. */
const UNTRACKED_TABLE = 'palisade-gate-1';

function swapped(port: number): number {
  return ((port & 0xff) << 8) | (port >> 8);
}

/** Takes away what a gate needs of the node's network. In its network namespace. */
export function endSteering(kernel: KernelPort): void {
  kernel.routeMarkedAsOthers(MARK_STEER, MARK_STEER_MASK);
  kernel.trackAgain(UNTRACKED_TABLE);
}

/** What the enforcer does for the HTTP gate: routes, ports, and the rules of each generation before and after it comes into force. */
export class HttpGate {
  readonly #kernel: KernelPort;
  readonly #maps: MapSet;
  readonly #server: GateServer;
  #contexts: ConnectionContexts | undefined;
  #warned = false;
  #ports: { readonly port4: number; readonly port6: number } | undefined;

  constructor(kernel: KernelPort, maps: MapSet, socketPath: string) {
    this.#kernel = kernel;
    this.#maps = maps;
    this.#server = new GateServer({
      path: socketPath,
      contextsOf: (connection) => (maps.exist() ? (this.#contexts?.of(connection) ?? []) : []),
      onHello: (ports) => {
        this.#ports = ports;
        this.#writePorts();
      },
    });
  }

  get lost(): bigint {
    return this.#server.lost;
  }

  /** Before the plan is carried out, in the node's network namespace. */
  prepare(desired: DesiredState): void {
    this.#kernel.routeMarkedHere(MARK_STEER, MARK_STEER_MASK);
    this.#leaveTurnedUntracked();
    this.#contexts = new ConnectionContexts(this.#kernel, this.#maps, desired.endpoints, desired.services ?? []);
    this.#writePorts();
    const control = this.#maps.control();
    if ((control.flags & CONTROL_GATE) === 0) this.#maps.writeControl({ ...control, flags: control.flags | CONTROL_GATE });
  }

  /** The gate has the rules of a generation before the kernel can name it. */
  async announce(actions: readonly Action[], desired: DesiredState): Promise<void> {
    const activation = actions.find((action) => action.kind === 'activate');
    if (activation !== undefined) await this.#server.publish({ generation: Number(activation.generation & 0xffffffffn), ruleSets: desired.resolved.l7Rules });
  }

  /** From here on every request is judged by what is in force now. */
  async activated(desired: DesiredState): Promise<void> {
    await this.#server.publish({ generation: Number(this.#maps.control().generation & 0xffffffffn), ruleSets: desired.resolved.l7Rules });
  }

  drain(limit: number): KernelFlowEvent[] {
    return this.#server.drain(limit);
  }

  close(): void {
    this.#server.close();
  }

  /** Connection tracking has seen them before they were turned round, and translated them: twice it would take them for another connection. */
  #leaveTurnedUntracked(): void {
    const failed = this.#kernel.leaveUntracked(UNTRACKED_TABLE, MARK_STEER_AGAIN, MARK_GATE_MASK);
    if (failed === 0 || this.#warned) return;
    this.#warned = true;
    process.emitWarning(
      `Connection tracking cannot be kept off the HTTP gate's packets: nftables answers with error ${failed}. Rules on HTTP break connections to this node's pods that kube-proxy or another DNAT translates.`,
    );
  }

  #writePorts(): void {
    if (this.#ports === undefined || !this.#maps.exist()) return;
    const { port4, port6 } = this.#ports;
    this.#kernel.update(this.#maps.map('http_gate'), rowKey(0), HTTP_GATE.encode({ port4_be: swapped(port4), port6_be: swapped(port6) }));
  }
}
