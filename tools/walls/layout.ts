/** A file or folder that breaks a habit of the house. */
export interface LayoutFault {
  readonly path: string;
  readonly fault: string;
}

const MAX_LINES = 400;
const junkRooms = new Set(['common', 'utils', 'util', 'shared', 'helpers', 'helper', 'core', 'types', 'misc', 'lib', 'managers']);
const junkFiles = /^(?:common|utils?|shared|helpers?|core|types|misc|manager)\.(?:ts|tsx|c|h)$/;

/** bpf/lib holds one header per concern: the usual name in BPF trees. */
const allowedFolders = new Set(['bpf/lib']);
const isSource = (path: string): boolean => /\.(?:ts|tsx|c|h|cjs|sh)$/.test(path);
const isGenerated = (path: string): boolean => /(?:^|\/)(?:generated|gen)\//.test(path);

/**
 * Looks at names and lengths of the committed files.
 *
 * @param files path → text; the paths are relative to the checkout.
 */
export function findLayoutFaults(files: ReadonlyMap<string, string>): readonly LayoutFault[] {
  const faults: LayoutFault[] = [];
  const seenFolders = new Set<string>();
  for (const [path, text] of files) {
    const parts = path.split('/');
    const file = parts.at(-1) ?? '';
    parts.slice(0, -1).forEach((name, index) => {
      const folder = parts.slice(0, index + 1).join('/');
      if (!junkRooms.has(name) || allowedFolders.has(folder) || seenFolders.has(folder)) return;
      seenFolders.add(folder);
      faults.push({ path: folder, fault: `a folder named ${name} collects what has no place; name the concept` });
    });
    if (!isSource(path) || isGenerated(path)) continue;
    if (junkFiles.test(file)) faults.push({ path, fault: 'a file is named for the one thing it holds' });
    if (/\.tsx?$/.test(file) && !/^[a-z0-9][a-z0-9.-]*\.tsx?$/.test(file)) faults.push({ path, fault: 'file names are kebab-case' });
    const lines = text.split('\n').length - 1;
    if (lines > MAX_LINES) faults.push({ path, fault: `${lines} lines; split it by concern (at most ${MAX_LINES})` });
  }
  return faults;
}
