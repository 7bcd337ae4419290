/** Checks the walls between the rooms, folder names and file lengths. Prints every fault; exits 1 when there is one. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { checkout } from '../dev/command.ts';
import { cruiseWalls, readWalls } from './cruise-walls.ts';
import { findLayoutFaults } from './layout.ts';
import { readTree } from './read-tree.ts';

const { modules, sources, breaches } = await cruiseWalls(checkout);
const faults = [
  ...breaches.map(({ wall, from, to, comment }) => `${from} imports ${to} (${wall}): ${comment}`),
  // Without a parser for TypeScript the cruise sees nothing and is content: every room that is here has to be among what was seen.
  ...readWalls()
    .rooms.libs.filter((room) => existsSync(join(checkout, 'libs', room)) && !sources.includes(`libs/${room}/src/index.ts`))
    .map((room) => `libs/${room}/src/index.ts was not looked at: the walls are blind there`),
  ...findLayoutFaults(readTree(checkout)).map(({ path, fault }) => `${path}: ${fault}`),
];
for (const fault of faults) process.stdout.write(`${fault}\n`);
process.stdout.write(`walls: ${modules} modules, ${faults.length} faults\n`);
process.exitCode = faults.length === 0 ? 0 : 1;
