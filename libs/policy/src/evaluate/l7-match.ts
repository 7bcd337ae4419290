/** Content rules compiled to predicates over requests. */

import { canonicalName, compileFqdnSelector } from '../fqdn-pattern.ts';
import { compileHttpMatch } from '../http-match.ts';
import type { L7Clause } from '../ir.ts';
import type { FlowQuery } from '../verdict.ts';

/** True when the clause lets the flow's request pass; false also where the flow shows no request it could judge. */
export type L7Test = (flow: FlowQuery) => boolean;

export function compileL7(clause: L7Clause): L7Test {
  switch (clause.kind) {
    case 'http': {
      const tests = clause.rules.map(compileHttpMatch);
      return ({ http }) => http !== undefined && tests.some((test) => test(http));
    }
    case 'dns': {
      const tests = clause.names.map(compileFqdnSelector);
      return ({ dns }) => dns !== undefined && tests.some((test) => test(canonicalName(dns.query)));
    }
    case 'unsupported':
      return () => false;
  }
}
