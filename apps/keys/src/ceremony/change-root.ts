import type { RootFile, RootInput, RootRole, TufKey } from '@palisade/bundle';

const YEAR_MS = 365 * 86_400_000;

type Roles = RootInput['roles'];

/** The present root as the input of its next version: same content, a year from now. */
export function nextVersionOf(root: RootFile, now: Date): RootInput {
  const { version, roles, pinned } = root.signed;
  const role = (name: RootRole) => ({ keys: [...roles[name].keys.values()].map(({ key }) => key), threshold: roles[name].threshold });
  return {
    version: version + 1,
    expiresMs: now.getTime() + YEAR_MS,
    roles: { root: role('root'), targets: role('targets'), director: role('director'), snapshot: role('snapshot'), timestamp: role('timestamp') },
    pinned,
  };
}

/** One key of a role in the place of another. Other keys of the role stay. */
export function replaceKey(input: RootInput, role: RootRole, without: string | undefined, key: TufKey, idOf: (key: TufKey) => string): RootInput {
  const kept = input.roles[role].keys.filter((known) => idOf(known) !== without && idOf(known) !== idOf(key));
  return withRole(input, role, { keys: [key, ...kept], threshold: input.roles[role].threshold });
}

/**
 * Takes a key out of every role that names it.
 * @throws Error where a role would fall below its threshold: that role needs a new key first
 */
export function withoutKey(input: RootInput, keyId: string, idOf: (key: TufKey) => string): RootInput {
  const touched = (Object.keys(input.roles) as RootRole[]).filter((role) => input.roles[role].keys.some((key) => idOf(key) === keyId));
  if (touched.length === 0) throw new Error(`No role of root version ${input.version - 1} names key ${keyId}.`);
  return touched.reduce((changed, role) => {
    const keys = changed.roles[role].keys.filter((key) => idOf(key) !== keyId);
    const { threshold } = changed.roles[role];
    if (keys.length < threshold) throw new Error(`Role ${role} would have ${keys.length} keys and needs ${threshold}: rotate it instead (rotate --role ${role}).`);
    return withRole(changed, role, { keys, threshold });
  }, input);
}

export function withRole(input: RootInput, role: RootRole, value: Roles[RootRole]): RootInput {
  return { ...input, roles: { ...input.roles, [role]: value } };
}
