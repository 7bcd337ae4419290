import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { checkout } from '../dev/command.ts';
import { LOGIN_ROLES, OWNER_ROLE, ensureDatabase, ensureOwner, urlFor, type LoginRole } from '../postgres/database.ts';
import { startPostgres, type RunningPostgres } from '../postgres/embedded-postgres.ts';
import { migrate } from '../postgres/migrate.ts';
import { freePort } from './free-port.ts';
import { ManagedProcess, type ProcessPlan } from './managed-process.ts';
import { runOnce } from './run-once.ts';
import type { StateFolder } from './state-folder.ts';

export interface ControlPlaneOptions {
  readonly state: StateFolder;
  /** Where agents reach the gateway: an address of this machine. */
  readonly gatewayAddress: string;
  /** Any free ports instead of the usual ones: several stacks of one machine, started together, do not meet. */
  readonly anyPorts?: boolean;
  /** Told what is done, in words. */
  readonly progress: (sentence: string) => void;
  readonly onUnexpectedEnd: (process: ManagedProcess, how: string) => void;
  /** Settings of the processes beyond what they need to run. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** API, gateway and worker on an embedded PostgreSQL. */
export interface ControlPlane {
  readonly apiUrl: string;
  readonly gatewayUrl: string;
  readonly ownerTokenFile: string;
  /** `DIR/trust-pin`: what agents are given out of band. */
  readonly trustPinFile: string;
  readonly processes: Readonly<Record<'api' | 'gateway' | 'worker', ManagedProcess>>;
  /** A superuser's connection to the database: for tests that damage it on purpose. */
  readonly adminUrl: string;
  readonly databaseEnded: Promise<string>;
  /** One more gateway on ports of its own. It ends with the others. */
  addGateway(): Promise<{ readonly url: string; readonly process: ManagedProcess }>;
  start(): Promise<void>;
  /** Ends api, gateway and worker the way a crash does; the database stays. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

const DATABASE = 'palisade';
const GATEWAY_PORT = 7443;
const API_PORT = 7080;

/** Prepares database, keys and first tenant (all idempotent) and starts the three processes. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { state, progress } = options;
  progress('starting PostgreSQL');
  const postgres = await startPostgres({ dataDir: state.postgresData, logFile: state.logFile('postgres') });
  try {
    const urls = await prepareDatabase(postgres, options);
    await prepareKeys(options);
    await runOnce('the bootstrap of the first tenant', 'apps/api/dist/bootstrap.js', [], {
      DATABASE_URL: urls.owner,
      PALISADE_OWNER_TOKEN_FILE: state.ownerTokenFile,
    });
    progress('starting api, gateway and worker');
    const plane = await describe(options, postgres, urls);
    await plane.start();
    return plane;
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}

type DatabaseUrls = Readonly<Record<LoginRole | 'owner', string>>;

async function prepareDatabase(postgres: RunningPostgres, { state, progress }: ControlPlaneOptions): Promise<DatabaseUrls> {
  const roles = ['owner', ...LOGIN_ROLES] as const;
  const passwords = state.remember('database-passwords', () =>
    Object.fromEntries(roles.map((role) => [role, randomBytes(24).toString('base64url')])),
  ) as Record<LoginRole | 'owner', string>;
  await ensureOwner(postgres.adminUrl, passwords.owner);
  await ensureDatabase(postgres.adminUrl, DATABASE);
  const url = (role: LoginRole | 'owner') =>
    urlFor(postgres.adminUrl, role === 'owner' ? OWNER_ROLE : `palisade_${role}`, passwords[role], DATABASE);
  progress('running the migrations');
  await migrate(url('owner'), passwords, 'dist');
  return Object.fromEntries(roles.map((role) => [role, url(role)])) as DatabaseUrls;
}

async function prepareKeys({ state, gatewayAddress }: ControlPlaneOptions): Promise<void> {
  const hosts = [gatewayAddress, '127.0.0.1', 'localhost'].flatMap((host) => ['--gateway-host', host]);
  await runOnce('making the keys', 'apps/keys/dist/main.js', ['init', '--dir', state.keys, ...hosts], {});
}

/** Most of what a gateway holds lives long: a larger nursery is only memory that never comes back (docs/operations.md). */
export const GATEWAY_FLAGS = ['--max-semi-space-size=4'];

async function describe(options: ControlPlaneOptions, postgres: RunningPostgres, urls: DatabaseUrls): Promise<ControlPlane> {
  const { state, gatewayAddress } = options;
  const usual = (port: number): number | undefined => (options.anyPorts === true ? undefined : port);
  const api = `127.0.0.1:${await freePort(usual(API_PORT))}`;
  const gateway = `${gatewayAddress}:${gatewayAddress === '127.0.0.1' ? await freePort(usual(GATEWAY_PORT)) : GATEWAY_PORT}`;
  const gatewayAdmin = `127.0.0.1:${await freePort()}`;
  const workerAdmin = `127.0.0.1:${await freePort()}`;
  const make = (app: string, admin: string, environment: Record<string, string>, name = app, flags: readonly string[] = []) =>
    new ManagedProcess(
      {
        name,
        command: [process.execPath, '--enable-source-maps', ...flags, join(checkout, `apps/${app}/dist/main.js`)],
        environment: { NODE_ENV: 'production', ...options.environment, ...environment },
        logFile: state.logFile(name),
        isReady: () => answers(`http://${admin}/readyz`),
      } satisfies ProcessPlan,
      options.onUnexpectedEnd,
    );
  const makeGateway = (name: string, listen: string, admin: string) =>
    make('gateway', admin, {
      DATABASE_URL: urls.gateway,
      INGEST_DATABASE_URL: urls.ingest,
      PALISADE_GATEWAY_LISTEN: listen,
      PALISADE_GATEWAY_ADMIN_LISTEN: admin,
      PALISADE_GATEWAY_TLS_DIR: join(state.keys, 'gateway'),
    }, name, GATEWAY_FLAGS);
  const processes = {
    api: make('api', api, { DATABASE_URL: urls.api, PALISADE_API_LISTEN: api }),
    gateway: makeGateway('gateway', gateway, gatewayAdmin),
    worker: make('worker', workerAdmin, {
      DATABASE_URL: urls.worker,
      PALISADE_KEYS_DIR: join(state.keys, 'worker'),
      PALISADE_PROGRAMS_DIR: join(checkout, 'bpf/build'),
      PALISADE_WORKER_ADMIN_LISTEN: workerAdmin,
    }),
  };
  const all: ManagedProcess[] = Object.values(processes);
  return {
    apiUrl: `http://${api}`,
    gatewayUrl: `https://${gateway}`,
    ownerTokenFile: state.ownerTokenFile,
    trustPinFile: join(state.keys, 'trust-pin'),
    processes,
    adminUrl: databaseOf(postgres.adminUrl),
    databaseEnded: postgres.ended,
    addGateway: async () => {
      const listen = `${gatewayAddress}:${await freePort()}`;
      const added = makeGateway(`gateway-${all.length - 1}`, listen, `127.0.0.1:${await freePort()}`);
      all.push(added);
      await added.start();
      return { url: `https://${listen}`, process: added };
    },
    start: async () => {
      try {
        await Promise.all(all.map((each) => each.start()));
      } catch (error) {
        await Promise.all(all.map((each) => each.kill()));
        throw error;
      }
    },
    kill: async () => {
      await Promise.all(all.map((each) => each.kill()));
    },
    stop: async () => {
      await Promise.all(all.map((each) => each.stop()));
      await postgres.stop();
    },
  };
}

function databaseOf(adminUrl: string): string {
  const url = new URL(adminUrl);
  url.pathname = `/${DATABASE}`;
  return url.href;
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(2000) })).ok;
  } catch {
    return false; // Not listening yet.
  }
}
