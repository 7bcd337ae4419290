import { describe, expect, it } from 'vitest';
import { parseCommand } from './command-line.ts';

const RUN = ['run', '--state', '/s', '--gateway', 'https://g:7443', '--endpoints', '/e.json'];

describe('the command line', () => {
  it('reads a first start', () => {
    expect(parseCommand([...RUN, '--pin-root', '/p', '--enroll-token-file', '/t', '--trust', 'sha256:aa', '--http-gate-socket', '/run/g.sock', '--health-window-ms', '3000', '--log-level', 'debug'])).toEqual({
      kind: 'run', stateDir: '/s', pinRoot: '/p', gateway: 'https://g:7443', endpointsFile: '/e.json', enrollTokenFile: '/t', trustPin: 'sha256:aa', httpGateSocket: '/run/g.sock', healthWindowMs: 3000, logLevel: 'debug', processArguments: 'hash',
    });
  });

  it('reads the local commands', () => {
    expect(parseCommand(['disable', '--for', '30m', '--state', '/s'])).toMatchObject({ kind: 'disable', forMs: 1_800_000 });
    expect(parseCommand(['status'])).toMatchObject({ kind: 'status', stateDir: '/var/lib/palisade-agent' });
  });

  it.each([
    [[], /Name a command/],
    [['disable'], /--for 30m/],
    [['run', '--endpoints', '/e'], /--gateway/],
    [['run', '--endpoints', '/e', '--gateway', 'http://g'], /--gateway/],
    [['run', '--gateway', 'https://g'], /--endpoints/],
    [[...RUN, '--log-level', 'loud'], /--log-level/],
    [[...RUN, '--process-arguments', 'some'], /--process-arguments/],
    [[...RUN, '--health-window-ms', '1e3'], /--health-window-ms/],
    [[...RUN, '--unknown'], /unknown/i],
  ])('says what is missing in %j', (argv, message) => {
    expect(() => parseCommand(argv)).toThrow(message);
  });
});
