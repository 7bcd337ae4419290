import { compileHttpMatch, type HttpRequest, type L7RuleSet } from '@palisade/policy';
import type { GateContext } from '@palisade/dataplane';
import type { RequestHead } from './message-head.ts';

interface CompiledRule {
  readonly ruleId: number;
  readonly matches: (request: HttpRequest) => boolean;
}

export interface Judgement {
  readonly allowed: boolean;
  /** The first rule that matched, of the last end that has rules; 0 where none did. */
  readonly ruleId: number;
}

/** Of a field that comes several times the values count as one, joined by commas (RFC 9110 §5.3). */
function requestOf(head: RequestHead): HttpRequest {
  const headers = new Map<string, string>();
  for (const { key, value } of head.fields) headers.set(key, headers.has(key) ? `${headers.get(key)},${value}` : value);
  return { method: head.method, path: `${head.path}${head.query}`, host: head.host, headers: Object.fromEntries(headers) };
}

function compile(rules: L7RuleSet): readonly CompiledRule[] {
  return (rules.http ?? []).map((rule) => ({ ruleId: rule.ruleId, matches: compileHttpMatch(rule) }));
}

/** The rules of the generation in force and of the one before, which connections that have been quiet may still name. */
export class PolicyBook {
  readonly #generations = new Map<number, { readonly ruleSets: readonly L7RuleSet[]; readonly compiled: Map<number, readonly CompiledRule[]> }>();

  /** The rules of a generation; only the newest two are kept. */
  put(generation: number, ruleSets: readonly L7RuleSet[]): void {
    this.#generations.delete(generation);
    this.#generations.set(generation, { ruleSets, compiled: new Map() });
    for (const old of [...this.#generations.keys()].slice(0, -2)) this.#generations.delete(old);
  }

  /** Every end must let the request pass; a connection of which no end is known does not pass. */
  judge(contexts: readonly GateContext[], head: RequestHead): Judgement {
    const request = requestOf(head);
    let allowed = contexts.length > 0;
    let ruleId = 0;
    for (const context of contexts) {
      if (context.verdict === 'pass') continue;
      const rule = context.verdict === 'deny' ? undefined : this.#rules(context).find(({ matches }) => matches(request));
      if (rule === undefined) allowed = false;
      else ruleId = rule.ruleId;
    }
    return allowed ? { allowed, ruleId } : { allowed, ruleId: 0 };
  }

  #rules({ generation, rules }: GateContext): readonly CompiledRule[] {
    const known = this.#generations.get(generation);
    const ruleSet = known?.ruleSets[rules];
    if (known === undefined || ruleSet === undefined) return [];
    let compiled = known.compiled.get(rules);
    if (compiled === undefined) known.compiled.set(rules, (compiled = compile(ruleSet)));
    return compiled;
  }
}
