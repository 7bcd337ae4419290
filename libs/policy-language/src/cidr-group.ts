/** cilium.io CiliumCIDRGroup: named CIDRs that policies refer to (rule 43). */

import { formatPrefix, type CidrGroupFact } from '@palisade/policy';
import type { Metadata } from './kubernetes/metadata.ts';
import { cidr } from './schema/cidr.ts';
import { list, object, type Read } from './schema/readers.ts';

export const cidrGroupSpec = object(
  { externalCIDRs: list(cidr, { what: 'externalCIDRs' }) },
  { what: 'The spec of a CiliumCIDRGroup', required: ['externalCIDRs'] },
);

export function cidrGroup(metadata: Metadata, spec: Read<typeof cidrGroupSpec>): CidrGroupFact {
  return { name: metadata.name, labels: metadata.labels, cidrs: spec.externalCIDRs.map(formatPrefix) };
}
