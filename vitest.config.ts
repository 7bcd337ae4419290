import { defineConfig } from 'vitest/config';

// Workspace packages resolve to their sources here, so tests need no build.
// Without 'module': the AWS SDK's build for bundlers does not load in Node.
const conditions = ['palisade-src', 'node', 'development|production'];
const source = { resolve: { conditions }, ssr: { resolve: { conditions, externalConditions: ['palisade-src'] } } };
const setupFiles = ['tools/vitest/seeded-properties.ts'];
const rooms = '{libs,apps,tools,demo,fleet}/**';

export default defineConfig({
  test: {
    projects: [
      {
        // Pure behaviour: no service, no kernel.
        ...source,
        test: {
          name: 'unit',
          setupFiles,
          include: [`${rooms}/*.test.ts`],
          exclude: ['**/node_modules/**', '**/dist/**', '**/*.{pg,kernel,e2e,redis,faults,clickhouse}.test.ts'],
          // Ends what hangs; how fast something is belongs to the benchmarks.
          testTimeout: 30_000,
        },
      },
      {
        // Real PostgreSQL, started once for the run.
        ...source,
        test: {
          name: 'pg',
          setupFiles,
          include: [`${rooms}/*.pg.test.ts`, 'migrations/**/*.pg.test.ts'],
          exclude: ['**/node_modules/**', '**/dist/**'],
          globalSetup: ['tools/postgres/vitest-global-setup.ts'],
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        // The faults of docs/security.md: lost answers, kills, forgeries, clocks. `npm run test:faults`.
        ...source,
        test: {
          name: 'faults',
          setupFiles,
          include: [`${rooms}/*.faults.test.ts`],
          exclude: ['**/node_modules/**', '**/dist/**'],
          globalSetup: ['tools/postgres/vitest-global-setup.ts'],
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        // Root and eBPF. One file at a time: they measure and they load programs.
        ...source,
        test: {
          name: 'kernel',
          setupFiles,
          // `./dev test` says when this machine cannot load programs; then these are left out.
          include: process.env['PALISADE_TEST_KERNEL'] === '0' ? [] : [`${rooms}/*.kernel.test.ts`],
          exclude: ['**/node_modules/**', '**/dist/**'],
          fileParallelism: false,
          sequence: { groupOrder: 1 },
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        // The whole system, as built: `./dev build` first.
        ...source,
        test: {
          name: 'e2e',
          include: process.env['PALISADE_TEST_KERNEL'] === '0' ? [] : ['e2e/**/*.e2e.test.ts'],
          fileParallelism: false,
          sequence: { groupOrder: 2 },
          testTimeout: 300_000,
        },
      },
    ],
  },
});
