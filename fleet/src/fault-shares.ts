import { BEHAVIOURS, type Behaviour } from './simulated-agent.ts';

/** How many agents misbehave in which way, by script. */
export type FaultShares = ReadonlyMap<Behaviour, number>;

const FAULT = /^([a-z]+)=(\d+(?:\.\d+)?)(%?)$/;

/**
 * Reads `silent=1%` (a share of the fleet, one agent at least) or `failing=3` (that many agents).
 * @throws Error with what would be right
 */
export function parseFaults(texts: readonly string[], agents: number): FaultShares {
  const shares = new Map<Behaviour, number>();
  for (const text of texts) {
    const [, name, amount, percent] = FAULT.exec(text) ?? [];
    const behaviour = BEHAVIOURS.find((candidate) => candidate === name);
    if (behaviour === undefined || behaviour === 'healthy') throw new Error(`'${text}' is no fault: write NAME=COUNT or NAME=PERCENT%, with NAME one of ${BEHAVIOURS.filter((one) => one !== 'healthy').join(', ')}.`);
    const count = percent === '%' ? Math.ceil((Number(amount) / 100) * agents) : Number(amount);
    if (!Number.isInteger(count)) throw new Error(`'${text}': a count is a whole number; write a share with %.`);
    shares.set(behaviour, count);
  }
  const sum = [...shares.values()].reduce((total, count) => total + count, 0);
  if (sum > agents) throw new Error(`The faults take ${sum} agents and there are ${agents}.`);
  return shares;
}

/** The script of each agent, by its number; faulty ones are spread evenly, so that every wave meets some. */
export function behavioursOf(agents: number, shares: FaultShares): readonly Behaviour[] {
  const behaviours = Array.from({ length: agents }, (): Behaviour => 'healthy');
  const faulty = [...shares].flatMap(([behaviour, count]) => Array.from({ length: count }, () => behaviour));
  for (const [index, behaviour] of faulty.entries()) behaviours[Math.floor(((index + 0.5) * agents) / faulty.length)] = behaviour;
  return behaviours;
}
