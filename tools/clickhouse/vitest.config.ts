import { resolve } from 'node:path';
import { defineConfig } from 'vitest/config';

// As in the checkout's own configuration: packages resolve to their sources.
const conditions = ['palisade-src', 'node', 'development|production'];

export default defineConfig({
  root: resolve(import.meta.dirname, '../..'),
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: ['palisade-src'] } },
  test: {
    name: 'clickhouse',
    include: ['{libs,apps,tools}/**/*.clickhouse.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**'],
    globalSetup: ['tools/postgres/vitest-global-setup.ts', 'tools/clickhouse/vitest-global-setup.ts'],
    fileParallelism: false,
    // Ends what hangs: a real cluster on a busy machine may take its time.
    testTimeout: 180_000,
    hookTimeout: 120_000,
  },
});
