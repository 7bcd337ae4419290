import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { GateAccess, GateContext, TcpConnection } from '@palisade/dataplane';
import { Admission } from './admission.ts';
import { AgentLink } from './agent-link.ts';
import type { RequestHead } from './message-head.ts';
import { PolicyBook, type Judgement } from './policy-book.ts';
import { Session } from './session.ts';

/** Connections at once, of both families; see `Admission`. More are reset. */
const MAX_CONNECTIONS = 4096;
/** How often it is said that connections were refused. */
const SAY_REFUSED_MS = 10_000;

export interface GateParts {
  /** Descriptors of the listeners that connections are steered to; undefined where the host has no such family. */
  readonly listeners: { readonly 4: number | undefined; readonly 6: number | undefined };
  readonly agentSocket: string;
  dial(connection: TcpConnection): Promise<Socket>;
}

/** The listening gate: takes steered connections, asks the agent about them, and runs a session for each. */
export class Gate {
  readonly #parts: GateParts;
  readonly #book = new PolicyBook();
  readonly #own = new Set<string>();
  readonly #servers: Server[] = [];
  readonly #admission = new Admission(MAX_CONNECTIONS);
  #refused = 0;
  #link: AgentLink | undefined;
  #policyNumber = 0;

  constructor(parts: GateParts) {
    this.#parts = parts;
  }

  async start(): Promise<void> {
    const { listeners, agentSocket } = this.#parts;
    const ports = { port4: await this.#listen(listeners[4]), port6: await this.#listen(listeners[6]) };
    this.#link = new AgentLink({
      path: agentSocket,
      ports,
      onPolicy: ({ generation, ruleSets }) => {
        this.#book.put(generation, ruleSets);
        this.#policyNumber += 1;
      },
    });
  }

  close(): void {
    for (const server of this.#servers) server.close();
    this.#link?.close();
  }

  #listen(fd: number | undefined): Promise<number> {
    if (fd === undefined) return Promise.resolve(0);
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => void this.#accept(socket));
    this.#servers.push(server);
    return new Promise((resolve, reject) => {
      server.once('error', reject).listen({ fd }, () => {
        const { address, port } = server.address() as AddressInfo;
        this.#own.add(`${address} ${port}`);
        resolve(port);
      });
    });
  }

  async #accept(down: Socket): Promise<void> {
    down.on('error', () => undefined);
    const { remoteAddress, remotePort, localAddress, localPort } = down;
    // Whoever connects to the gate itself has not been steered here.
    if (remoteAddress === undefined || remotePort === undefined || localAddress === undefined || localPort === undefined || this.#own.has(`${localAddress} ${localPort}`)) {
      down.destroy();
      return;
    }
    if (!this.#admission.enter(remoteAddress)) {
      this.#sayRefused();
      down.resetAndDestroy();
      return;
    }
    const connection = { client: { address: remoteAddress, port: remotePort }, server: { address: localAddress, port: localPort } };
    try {
      const up = await this.#parts.dial(connection);
      await new Session(down, up, connection, this).run();
    } catch {
      // The client sees what it would see of a server that refuses it.
      down.resetAndDestroy();
    } finally {
      this.#admission.leave(remoteAddress);
    }
  }

  #sayRefused(): void {
    this.#refused += 1;
    if (this.#refused > 1) return;
    setTimeout(() => {
      process.stderr.write(`The HTTP gate refused ${this.#refused} connections: ${this.#admission.open} of ${MAX_CONNECTIONS} are open, and a client may have as many as are free.\n`);
      this.#refused = 0;
    }, SAY_REFUSED_MS).unref();
  }

  get policyNumber(): number {
    return this.#policyNumber;
  }

  ask(connection: TcpConnection): Promise<readonly GateContext[] | undefined> {
    return this.#link?.ask(connection) ?? Promise.resolve(undefined);
  }

  judge(contexts: readonly GateContext[], head: RequestHead): Judgement {
    return this.#book.judge(contexts, head);
  }

  report(access: GateAccess): void {
    this.#link?.report(access);
  }
}
