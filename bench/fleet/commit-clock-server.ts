/**
 * Tells its parent when wake-ups of waves arrive, which PostgreSQL sends as a transaction commits: in a process of its own,
 * for the parent's event loop is busy with the fleet at that moment.
 */
import { WakeListener } from '@palisade/store';

const url = process.argv[2];
if (url === undefined) throw new Error('Usage: commit-clock-server.ts DATABASE_URL');
const listener = new WakeListener({
  url,
  applicationName: 'palisade-bench-clock',
  onError: (error) => process.stderr.write(`${String(error)}\n`),
  onWake: ({ topic, cluster }) => {
    if (topic === 'desired') process.send?.({ cluster, atMs: Date.now() });
  },
});
await listener.start();
