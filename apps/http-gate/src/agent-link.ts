import { connect, type Socket } from 'node:net';
import { MAX_GATE_LINE, type AgentMessage, type GateAccess, type GateContext, type GateMessage, type TcpConnection } from '@palisade/dataplane';

/** How long a question waits for an answer: long enough for an agent to be restarted. */
const ANSWER_MS = 5000;
const RECONNECT_MS = 200;
const MAX_QUESTIONS = 8192;
/** Bytes of accesses that may wait for the agent to read them. */
const MAX_BACKLOG = 8 * 1024 * 1024;

interface Question {
  readonly connection: TcpConnection;
  readonly answer: (contexts: readonly GateContext[] | undefined) => void;
  readonly timer: NodeJS.Timeout;
}

export interface AgentLinkParts {
  readonly path: string;
  readonly ports: { readonly port4: number; readonly port6: number };
  onPolicy(message: AgentMessage & { kind: 'policy' }): void;
}

/** The gate's side of the socket between it and the agent. It connects again for ever; questions outlive a short absence. */
export class AgentLink {
  readonly #parts: AgentLinkParts;
  readonly #questions = new Map<number, Question>();
  #socket: Socket | undefined;
  #ready = false;
  #next = 1;
  #lost = 0;
  #closed = false;

  constructor(parts: AgentLinkParts) {
    this.#parts = parts;
    this.#connect();
  }

  /** The contexts of a connection; undefined where nobody answers in time. */
  ask(connection: TcpConnection): Promise<readonly GateContext[] | undefined> {
    if (this.#questions.size >= MAX_QUESTIONS) return Promise.resolve(undefined);
    const id = this.#next++;
    return new Promise((resolve) => {
      const answer = (contexts: readonly GateContext[] | undefined): void => {
        const question = this.#questions.get(id);
        this.#questions.delete(id);
        clearTimeout(question?.timer);
        resolve(contexts);
      };
      this.#questions.set(id, { connection, answer, timer: setTimeout(() => answer(undefined), ANSWER_MS) });
      if (this.#ready) this.#send({ kind: 'ask', id, connection });
    });
  }

  report(access: GateAccess): void {
    if (this.#socket === undefined || !this.#ready || this.#socket.writableLength > MAX_BACKLOG) {
      this.#lost += 1;
      return;
    }
    if (this.#lost > 0) this.#send({ kind: 'lost', count: this.#lost });
    this.#lost = 0;
    this.#send({ kind: 'access', access });
  }

  close(): void {
    this.#closed = true;
    this.#socket?.destroy();
  }

  #send(message: GateMessage): void {
    this.#socket?.write(`${JSON.stringify(message)}\n`);
  }

  #connect(): void {
    if (this.#closed) return;
    let rest = '';
    const socket = connect(this.#parts.path);
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('connect', () => this.#send({ kind: 'hello', ...this.#parts.ports }));
    socket.on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > MAX_GATE_LINE) socket.destroy();
      for (const line of lines) this.#take(JSON.parse(line) as AgentMessage);
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#ready = false;
      setTimeout(() => this.#connect(), RECONNECT_MS);
    });
  }

  #take(message: AgentMessage): void {
    if (message.kind === 'context') {
      this.#questions.get(message.id)?.answer(message.contexts);
      return;
    }
    this.#parts.onPolicy(message);
    this.#send({ kind: 'applied', number: message.number });
    if (this.#ready) return;
    this.#ready = true;
    for (const [id, { connection }] of this.#questions) this.#send({ kind: 'ask', id, connection });
  }
}
