import { spawnSync } from 'node:child_process';

/** How a command is started so that PostgreSQL, which refuses root, accepts its user. */
export interface UnprivilegedLauncher {
  /** Words put before the command. Its process gets SIGINT (a fast shutdown) when ours dies. */
  readonly prefix: readonly string[];
  /** The user id that has to own the data folder, as seen from here. */
  readonly uid: number;
}

const NOBODY = 65_534;
const dieWithParent = ['setpriv', '--pdeathsig', 'INT'];

function succeeds(command: readonly string[]): boolean {
  const [program = '', ...rest] = command;
  return spawnSync(program, [...rest, 'true'], { stdio: 'ignore' }).status === 0;
}

/**
 * Chooses how to run PostgreSQL for the user we are.
 *
 * - Not root: directly.
 * - Root: in a user namespace where root is called uid 1000, so that no other
 *   user is needed and it works below a 0700 folder.
 * - Root where user namespaces are forbidden (many containers): as nobody, with
 *   leave to pass folders that only root may enter.
 *
 * @throws when none of these works on this machine.
 */
export function unprivilegedLauncher(): UnprivilegedLauncher {
  const uid = process.getuid?.() ?? NOBODY;
  if (uid !== 0) return { prefix: dieWithParent, uid };

  const namespace = ['unshare', '-U', '--map-user=1000', '--map-group=1000', ...dieWithParent];
  if (succeeds(namespace)) return { prefix: namespace, uid: 0 };

  const nobody = [
    ...dieWithParent,
    `--reuid=${NOBODY}`,
    `--regid=${NOBODY}`,
    '--clear-groups',
    '--inh-caps=+dac_override',
    '--ambient-caps=+dac_override',
  ];
  if (succeeds(nobody)) return { prefix: nobody, uid: NOBODY };

  throw new Error(
    'PostgreSQL refuses to run as root, and neither a user namespace nor another user could be had here. ' +
      'Run this as an ordinary user, or bring a PostgreSQL 18 of your own through DATABASE_URL.',
  );
}
