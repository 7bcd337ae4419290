import { AgentState } from '../state/agent-state.ts';

// Writes the agent's state without end, every file a pair of equal numbers, until it is killed. Says each number it wrote.
const [dir = '', start = '0'] = process.argv.slice(2);
const state = new AgentState(dir);
for (let n = Number(start); ; n += 1) {
  const generation = `1.${n}`;
  const kept = { generation, manifestSha256: 'a'.repeat(64), contentDigest: String(n).repeat(2_000), policyRevision: n };
  state.saveLedger({ current: kept, lastKnownGood: kept });
  state.saveTrust({ root: Buffer.alloc(200_000, n % 256), highestGeneration: generation });
  process.stdout.write(`${n}\n`);
}
