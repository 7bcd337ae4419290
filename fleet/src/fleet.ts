import { setTimeout as delay } from 'node:timers/promises';
import { AgentConnection, Refused } from './agent-connection.ts';
import { SimulatedAgent, type Gateway, type SimulatedAgentOptions } from './simulated-agent.ts';

const ENROLL_CONNECTIONS = 4;
const ENROLL_AT_ONCE = 96;
const CONNECT_AT_ONCE = 24;

/** Many simulated agents, enrolled and connected at a pace that a real fleet is brought up at. */
export class Fleet {
  readonly agents: readonly SimulatedAgent[];
  readonly #gateway: Gateway;

  constructor(gateway: Gateway, count: number, options: (index: number) => Omit<SimulatedAgentOptions, 'gateway' | 'name'>) {
    this.#gateway = gateway;
    this.agents = Array.from({ length: count }, (_, index) => new SimulatedAgent({ name: `sim-${String(index).padStart(5, '0')}`, gateway, ...options(index) }));
  }

  get connected(): number {
    return this.agents.reduce((sum, agent) => sum + Number(agent.connected), 0);
  }

  /** Enrolls all that are not. Refusals with a time to come back are honoured. */
  async enroll(token: string): Promise<void> {
    const connections = await Promise.all(Array.from({ length: ENROLL_CONNECTIONS }, () => AgentConnection.open(this.#gateway.url, this.#gateway.ca)));
    await inParallel(this.agents.filter((agent) => agent.enrolled === undefined), ENROLL_AT_ONCE, async (agent, index) => {
      for (let attempt = 0; ; attempt += 1) {
        try {
          await agent.enroll(connections[index % connections.length]!, token);
          return;
        } catch (error) {
          if (!(error instanceof Refused) || error.status !== 503 || attempt === 20) throw error;
          await delay(error.retryAfterMs + Math.random() * 500);
        }
      }
    });
    for (const connection of connections) connection.close();
  }

  /** Starts every agent's loop, a few at a time; resolves when all have checked in, or have been refused for good. */
  async start(): Promise<void> {
    await inParallel(this.agents, CONNECT_AT_ONCE, async (agent) => {
      const ended = agent.run().then(() => true);
      while (!agent.connected && !(await Promise.race([ended, delay(20, false)]))) continue;
    });
  }

  stop(): void {
    for (const agent of this.agents) agent.stop();
  }
}

async function inParallel<T>(items: readonly T[], width: number, work: (item: T, index: number) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: Math.min(width, items.length) }, async () => {
      for (let index = next++; index < items.length; index = next++) await work(items[index]!, index);
    }),
  );
}
