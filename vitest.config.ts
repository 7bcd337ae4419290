import { defineConfig } from 'vitest/config';

// Workspace packages resolve to their sources here, so tests need no build.
const conditions = ['palisade-src', 'module', 'node', 'development|production'];
const source = { resolve: { conditions }, ssr: { resolve: { conditions, externalConditions: ['palisade-src'] } } };
const rooms = '{libs,apps,tools,demo,fleet}/**';

export default defineConfig({
  test: {
    projects: [
      {
        // Pure behaviour: no service, no kernel.
        ...source,
        test: {
          name: 'unit',
          include: [`${rooms}/*.test.ts`],
          exclude: ['**/node_modules/**', '**/dist/**', '**/*.{pg,kernel,e2e,redis}.test.ts'],
        },
      },
    ],
  },
});
