'use strict';
/**
 * Who may know whom (docs/ARCHITECTURE.md), as rules. Each room is listed with
 * the rooms it may import; everything else is a violation. `npm run check`
 * enforces them, and tools/walls has a test that breaks each of them once.
 */

const floor1 = ['errors', 'tenancy', 'policy', 'policy-language', 'flow', 'rollout', 'audit'];
const floor2 = ['dataplane', 'bundle'];
const floor3 = ['protocol', 'control'];
const floor4 = ['store', 'flow-store', 'cloud', 'keys', 'kernel', 'nest-kit', 'client'];
const pureFloors = [...floor1, ...floor2];

/** Room in libs → rooms in libs it may import. */
const libs = {
  errors: [],
  tenancy: ['errors'],
  policy: ['errors', 'tenancy'],
  'policy-language': ['errors', 'tenancy', 'policy'],
  flow: ['errors', 'tenancy'],
  rollout: ['errors', 'tenancy'],
  audit: ['errors', 'tenancy'],
  dataplane: ['policy', 'flow', 'errors'],
  bundle: ['errors'],
  protocol: ['bundle', 'flow', 'errors'],
  control: pureFloors,
  store: ['control', ...pureFloors],
  'flow-store': ['control', ...pureFloors],
  cloud: ['control', ...pureFloors],
  keys: ['control', ...pureFloors],
  'nest-kit': ['control', ...pureFloors],
  // The agent carries the kernel adapter, and the browser the client: neither may bring the control room along.
  kernel: pureFloors,
  client: pureFloors,
};

/** App → rooms in libs it may import. No app imports another. */
const apps = {
  api: [...pureFloors, ...floor3, ...floor4],
  gateway: [...pureFloors, ...floor3, ...floor4],
  worker: [...pureFloors, ...floor3, ...floor4],
  keys: [...pureFloors, ...floor3, ...floor4],
  agent: ['protocol', 'bundle', 'policy', 'dataplane', 'kernel', 'flow', 'errors'],
  'http-gate': ['dataplane', 'policy'],
  cli: ['client', 'policy', 'policy-language', 'errors'],
  console: ['client', 'policy', 'policy-language', 'errors'],
};

/** Node modules that a pure room may use; all others none. */
const nodeModules = { audit: ['crypto'], bundle: ['crypto'] };

/** Tests and what only they use: they may reach further. */
const test = String.raw`\.test\.tsx?$|/testing/`;
const any = (names) => `(?:${names.join('|')})`;
const allBut = (names) => (names.length === 0 ? '[^/]+' : `(?!${any(names)}/)[^/]+`);
const frameworks = String.raw`node_modules/(?:@nestjs|nestjs-|typeorm|fastify|@fastify|bullmq|ioredis|pg|pg-copy-streams|reflect-metadata|rxjs|zod)(?:/|$)`;

const roomWalls = Object.entries(libs).map(([room, allowed]) => ({
  name: `libs-${room}`,
  severity: 'error',
  comment: `libs/${room} may import ${allowed.length === 0 ? 'no other room' : allowed.join(', ')}.`,
  from: { path: `^libs/${room}/src/`, pathNot: test },
  to: { path: `^(?:libs/${allBut([room, ...allowed])}|apps|migrations|demo|e2e|bench|fleet|tools)/` },
}));

const appWalls = Object.entries(apps).map(([app, allowed]) => ({
  name: `apps-${app}`,
  severity: 'error',
  comment: `apps/${app} may import ${allowed.join(', ')}, and no other app.`,
  from: { path: `^apps/${app}/src/`, pathNot: test },
  to: { path: `^(?:libs/${allBut(allowed)}|apps/${allBut([app])}|migrations|demo|e2e|bench|fleet|tools)/` },
}));

const pureWalls = pureFloors.map((room) => ({
  name: `pure-${room}`,
  severity: 'error',
  comment: `libs/${room} runs anywhere: no Node module${nodeModules[room] === undefined ? '' : ` but ${nodeModules[room].join(', ')}`}.`,
  from: { path: `^libs/${room}/src/`, pathNot: test },
  to: { dependencyTypes: ['core'], ...(nodeModules[room] === undefined ? {} : { pathNot: `^(?:node:)?${any(nodeModules[room])}$` }) },
}));

module.exports = {
  rooms: { libs: Object.keys(libs), apps: Object.keys(apps) },
  forbidden: [
    ...roomWalls,
    ...appWalls,
    ...pureWalls,
    {
      name: 'unknown-room',
      severity: 'error',
      comment: 'Every folder of libs and apps has a line in .dependency-cruiser.cjs that says what it may import.',
      from: { path: `^(?:libs/${allBut(Object.keys(libs))}|apps/${allBut(Object.keys(apps))})/src/` },
      to: {},
    },
    {
      name: 'agent-stays-small',
      severity: 'error',
      comment: 'The agent is privileged: no framework and no YAML parser, not even through another room.',
      from: { path: '^apps/agent/src/', pathNot: test },
      to: { path: `${frameworks}|node_modules/yaml/|^libs/${any(['policy-language', 'control', 'store', 'nest-kit'])}/`, reachable: true },
    },
    {
      name: 'no-framework-below-floor-4',
      severity: 'error',
      comment: 'Use cases and contracts are plain TypeScript.',
      from: { path: `^libs/${any([...pureFloors, ...floor3])}/src/`, pathNot: test },
      to: { path: frameworks },
    },
    {
      name: 'one-yaml-parser',
      severity: 'error',
      comment: 'libs/policy-language is the only room that reads YAML.',
      from: { path: '^(?:libs|apps)/', pathNot: [test, '^libs/policy-language/'] },
      to: { path: 'node_modules/(?:yaml|js-yaml)/' },
    },
    {
      name: 'policy-engine-stands-alone',
      severity: 'error',
      comment: 'The engine runs on nodes and in browsers: its only dependency is the linear-time regular expressions.',
      from: { path: '^libs/policy/src/', pathNot: test },
      to: { path: 'node_modules/', pathNot: 'node_modules/(?:re2js|@palisade)/' },
    },
    {
      name: 'testing-stays-in-tests',
      severity: 'error',
      comment: 'What lies in a folder named testing is for tests; the walls do not bind it, so nothing else may stand on it.',
      from: { path: '^(?:libs|apps|migrations)/', pathNot: test },
      to: { path: '^(?:libs|apps)/.*/testing/' },
    },
    {
      name: 'migrations-stand-alone',
      severity: 'error',
      comment: 'A migration means the same for ever; it never imports entities or any other room.',
      from: { path: '^migrations/src/', pathNot: test },
      to: { path: '^(?:libs|apps|demo|e2e|bench|fleet|tools)/' },
    },
    {
      name: 'entities-stay-in-store',
      severity: 'error',
      comment: 'Only libs/store and the migrations know TypeORM’s decorators; apps may open its data source.',
      from: { path: `^libs/${allBut(['store', 'flow-store', 'nest-kit'])}/src/`, pathNot: test },
      to: { path: 'node_modules/typeorm/' },
    },
    {
      name: 'demo-is-a-stranger',
      severity: 'error',
      comment: 'The demo uses the public API and the built programs, like anybody else.',
      from: { path: '^demo/' },
      to: { path: '^(?:libs|apps|migrations)/' },
    },
    {
      name: 'no-deep-import',
      severity: 'error',
      comment: 'A room is used through its index; what is not exported there is its own business.',
      from: { path: '^libs/([^/]+)/' },
      to: { path: '^libs/[^/]+/src/', pathNot: ['^libs/$1/', '/src/index[.]ts$'] },
    },
    {
      name: 'no-deep-import-from-outside',
      severity: 'error',
      comment: 'As no-deep-import, for everything that is not in libs.',
      from: { path: '^(?:apps|migrations|tools|demo|e2e|bench|fleet)/' },
      to: { path: '^libs/[^/]+/src/', pathNot: '/src/index[.]ts$' },
    },
    {
      name: 'no-own-index',
      severity: 'error',
      comment: 'A file imports its neighbour, not the index of its own package: that makes a cycle.',
      from: { path: '^libs/([^/]+)/src/', pathNot: ['^libs/[^/]+/src/index[.]ts$', test] },
      to: { path: '^libs/$1/src/index[.]ts$' },
    },
    {
      name: 'no-cycle',
      severity: 'error',
      comment: 'Two files that need each other are one file, or hide a third.',
      from: { path: '^(?:libs|apps|migrations|tools|demo|e2e|bench|fleet)/' },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'resolves',
      severity: 'error',
      comment: 'An import that resolves to nothing hides what it would have broken.',
      from: { path: '^(?:libs|apps|migrations|tools|demo|e2e|bench|fleet)/' },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(?:^|/)(?:dist|coverage)/' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      conditionNames: ['palisade-src', 'import', 'node', 'default', 'types'],
      exportsFields: ['exports'],
      extensions: ['.ts', '.tsx', '.js', '.json'],
    },
  },
};
