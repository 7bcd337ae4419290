import { parseArgs } from 'node:util';
import { parseDuration } from './break-glass/break-glass.ts';
import type { ArgumentSetting } from './enforcer/process-names.ts';
import { parseAttestationSource, type AttestationSource } from './enrollment/attestation-evidence.ts';
import { parseLogLevel, type LogLevel } from './log.ts';

export const USAGE = `palisade-agent: enforces this node's policies and reports its flows

  run --state DIR --gateway https://HOST:PORT --endpoints FILE --pin-root DIR
      [--enroll-token-file FILE --trust sha256:…]   on the first start
      [--attest aws-iid|azure-imds|k8s-sat:FILE …]  evidence that goes with the token
      [--http-gate-socket FILE]                     where the node's HTTP gate connects; without it rules on HTTP drop
      [--health-window-ms N] [--commit-timeout-ms N] [--log-level debug|info|warn|error]
      [--kubernetes-node NAME]                      this node's pods and the services, from the API server
      [--process-arguments hash|full|off]           what flows say of them; a hash by default
  disable --for 30m --state DIR [--pin-root DIR]    suspends enforcement for a bounded time (break-glass)
  enable --state DIR [--pin-root DIR]               ends it early
  status --state DIR [--pin-root DIR]               what this node runs, as JSON
  uninstall --state DIR --pin-root DIR              takes every program and map of Palisade out of the kernel
`;

export interface RunCommand {
  readonly kind: 'run';
  readonly stateDir: string;
  readonly gateway: string;
  readonly endpointsFile: string;
  readonly pinRoot: string;
  readonly enrollTokenFile?: string;
  readonly trustPin?: string;
  readonly attest?: readonly AttestationSource[];
  readonly httpGateSocket?: string;
  readonly healthWindowMs?: number;
  readonly commitTimeoutMs?: number;
  readonly logLevel: LogLevel;
  readonly processArguments: ArgumentSetting;
  readonly kubernetesNode?: string;
}

export type Command =
  | RunCommand
  | { readonly kind: 'disable'; readonly stateDir: string; readonly pinRoot: string; readonly forMs: number }
  | { readonly kind: 'enable' | 'status' | 'uninstall'; readonly stateDir: string; readonly pinRoot: string };

const DEFAULT_STATE = '/var/lib/palisade-agent';
const DEFAULT_PINS = '/sys/fs/bpf/palisade';

/** @throws Error with one sentence that says what is missing */
export function parseCommand(argv: readonly string[]): Command {
  const { positionals, values } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      state: { type: 'string', default: DEFAULT_STATE },
      'pin-root': { type: 'string', default: DEFAULT_PINS },
      gateway: { type: 'string' },
      endpoints: { type: 'string' },
      'enroll-token-file': { type: 'string' },
      trust: { type: 'string' },
      attest: { type: 'string', multiple: true },
      'http-gate-socket': { type: 'string' },
      'health-window-ms': { type: 'string' },
      'commit-timeout-ms': { type: 'string' },
      'kubernetes-node': { type: 'string' },
      'process-arguments': { type: 'string', default: 'hash' },
      'log-level': { type: 'string', default: 'info' },
      for: { type: 'string' },
    },
  });
  const [kind] = positionals;
  const place = { stateDir: values.state, pinRoot: values['pin-root'] };
  if (kind === 'enable' || kind === 'status' || kind === 'uninstall') return { kind, ...place };
  if (kind === 'disable') {
    const forMs = parseDuration(values.for ?? '');
    if (forMs === undefined) throw new Error('Say for how long: --for 30m (seconds s, minutes m, hours h; at most 24h).');
    return { kind, ...place, forMs };
  }
  if (kind !== 'run') throw new Error('Name a command: run, disable, enable, status or uninstall.');
  const logLevel = parseLogLevel(values['log-level']);
  if (logLevel === undefined) throw new Error('--log-level is debug, info, warn or error.');
  if (values.gateway === undefined || !URL.canParse(values.gateway) || new URL(values.gateway).protocol !== 'https:') {
    throw new Error('Name the gateway: --gateway https://HOST:PORT.');
  }
  if (values.endpoints === undefined) throw new Error('Name the endpoint file: --endpoints FILE.');
  return {
    kind,
    ...place,
    gateway: values.gateway,
    endpointsFile: values.endpoints,
    logLevel,
    processArguments: argumentSetting(values['process-arguments']),
    ...(values['kubernetes-node'] !== undefined && { kubernetesNode: values['kubernetes-node'] }),
    ...(values['enroll-token-file'] !== undefined && { enrollTokenFile: values['enroll-token-file'] }),
    ...(values.trust !== undefined && { trustPin: values.trust }),
    ...(values.attest !== undefined && { attest: values.attest.map(parseAttestationSource) }),
    ...(values['http-gate-socket'] !== undefined && { httpGateSocket: values['http-gate-socket'] }),
    ...milliseconds('healthWindowMs', '--health-window-ms', values['health-window-ms']),
    ...milliseconds('commitTimeoutMs', '--commit-timeout-ms', values['commit-timeout-ms']),
  };
}

function argumentSetting(text: string): ArgumentSetting {
  if (text === 'hash' || text === 'full' || text === 'off') return text;
  throw new Error('--process-arguments is hash, full or off.');
}

function milliseconds<K extends string>(name: K, option: string, text: string | undefined): { readonly [P in K]?: number } {
  if (text === undefined) return {};
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new Error(`${option} is a number of milliseconds.`);
  return { [name]: Number(text) } as { readonly [P in K]?: number };
}
