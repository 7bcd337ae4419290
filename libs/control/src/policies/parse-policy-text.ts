import type { Fault } from '@palisade/errors';
import { parsePolicies, type Problem } from '@palisade/policy-language';
import type { PolicyParser } from './apply-policies.ts';

/** Reads the three policy languages. CIDR groups are not stored yet, so a text with one is refused rather than half applied. */
export const parsePolicyText: PolicyParser = (text, { mode, revision }) => {
  const { documents, cidrGroups, problems } = parsePolicies(text, { defaultMode: mode, revision });
  const groups = cidrGroups.map(
    ({ name }): Fault => ({ code: 'kind.unsupported', detail: `The CiliumCIDRGroup ${name} cannot be applied here yet: write its CIDRs into the policies.` }),
  );
  return {
    policies: documents,
    errors: [...problems.filter(({ severity }) => severity === 'error').map(toFault), ...groups],
    warnings: problems.filter(({ severity }) => severity === 'warning').map(toFault),
  };
};

function toFault({ code, message, pointer, document, line, column }: Problem): Fault {
  return { code, detail: message, pointer, document, ...(line === 0 ? {} : { line, column }) };
}
