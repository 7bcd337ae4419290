import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { AgentMessage, GateContext, GateMessage, KernelFlowEvent, TcpConnection } from '@palisade/dataplane';
import type { L7RuleSet } from '@palisade/policy';
import { accessEvents } from './access-events.ts';

/** Past this a gate that does not answer no longer holds up a change of policy. */
const APPLIED_MS = 1000;
/** Requests that may wait to be drained. */
const MAX_EVENTS = 65_536;
/** A question or a request is far shorter than this. */
const MAX_LINE = 64 * 1024;

export interface GateServerParts {
  /** The socket; the folder around it decides who may pose as a gate. */
  readonly path: string;
  contextsOf(connection: TcpConnection): readonly GateContext[];
  /** A gate listens on these loopback ports. */
  onHello(ports: { readonly port4: number; readonly port6: number }): void;
}

interface PolicyOf {
  readonly generation: number;
  readonly ruleSets: readonly L7RuleSet[];
}

/** The agent's side of the socket between it and the HTTP gate. What gates send is checked; they can decide nothing here. */
export class GateServer {
  readonly #parts: GateServerParts;
  readonly #server: Server;
  readonly #gates = new Map<Socket, { applied: number }>();
  readonly #waiting = new Set<() => void>();
  #policies: PolicyOf[] = [];
  #number = 0;
  #events: KernelFlowEvent[] = [];
  #lost = 0n;

  constructor(parts: GateServerParts) {
    this.#parts = parts;
    this.#server = createServer((socket) => this.#serve(socket));
    // Without its socket there is no gate, and the kernel drops what rules on HTTP select: never a reason to end the agent.
    this.#server.on('error', (error) => process.emitWarning(`The HTTP gate cannot connect to ${parts.path}: ${error.message}. Rules on HTTP drop what they select.`));
    // A socket that an earlier agent left behind.
    rmSync(parts.path, { force: true });
    this.#server.listen(parts.path, () => chmodSync(parts.path, 0o666));
    this.#server.unref();
  }

  /** Requests that could not be told. */
  get lost(): bigint {
    return this.#lost;
  }

  /** Tells every gate the rules of a generation; fulfils when they judge by them, or after a second. */
  async publish(policy: PolicyOf): Promise<void> {
    this.#policies = [...this.#policies.filter(({ generation }) => generation !== policy.generation), policy].slice(-2);
    this.#number += 1;
    const wanted = this.#number;
    for (const socket of this.#gates.keys()) this.#tell(socket, policy);
    const behind = (): boolean => [...this.#gates.values()].some(({ applied }) => applied < wanted);
    const deadline = Date.now() + APPLIED_MS;
    while (behind() && Date.now() < deadline) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.max(1, deadline - Date.now()));
        this.#waiting.add(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  /** At most `limit` of the requests that gates have told. */
  drain(limit: number): KernelFlowEvent[] {
    return this.#events.splice(0, limit);
  }

  close(): void {
    for (const socket of this.#gates.keys()) socket.destroy();
    this.#server.close();
  }

  #tell(socket: Socket, { generation, ruleSets }: PolicyOf): void {
    this.#send(socket, { kind: 'policy', number: this.#number, generation, ruleSets });
  }

  #send(socket: Socket, message: AgentMessage): void {
    socket.write(`${JSON.stringify(message)}\n`);
  }

  #serve(socket: Socket): void {
    let rest = '';
    socket.unref();
    socket.setEncoding('utf8');
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#gates.delete(socket);
      this.#wake();
    });
    socket.on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      try {
        if (rest.length > MAX_LINE) throw new RangeError('a line is too long');
        for (const line of lines) this.#take(socket, JSON.parse(line) as GateMessage);
      } catch {
        socket.destroy(); // it comes back, or it was none of ours
      }
    });
  }

  #take(socket: Socket, message: GateMessage): void {
    switch (message.kind) {
      case 'hello':
        this.#parts.onHello(message);
        this.#gates.set(socket, { applied: 0 });
        for (const policy of this.#policies) this.#tell(socket, policy);
        return;
      case 'applied': {
        const gate = this.#gates.get(socket);
        if (gate !== undefined) gate.applied = Math.max(gate.applied, message.number);
        return this.#wake();
      }
      case 'ask':
        return this.#send(socket, { kind: 'context', id: message.id, contexts: this.#parts.contextsOf(message.connection) });
      case 'access':
        if (this.#events.length >= MAX_EVENTS) this.#lost += 1n;
        else this.#events.push(...accessEvents(message.access));
        return;
      case 'lost':
        this.#lost += BigInt(message.count);
    }
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}
