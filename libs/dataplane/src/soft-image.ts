/** Soft HTTP rules as the programs read them: `struct soft_rules` of bpf/include/abi_http.h. */

import { compileSoftHttp, softAutomata, type Automaton, type HttpRule, type L7RuleSet, type SoftHttp, type SoftHttpTables } from '@palisade/policy';
import { MAX_SOFT_SETS, SOFT_MASKS, SOFT_RULES, SOFT_WORDS } from './abi/constants.ts';
import { SOFT_RULES_TABLES } from './abi/layouts.ts';
import { hex } from './abi/text.ts';

export interface SoftImage {
  /** Hex; empty where nothing is judged by soft rules. */
  readonly digest: string;
  /** `struct soft_rules` by the layer 7 number of their entries. */
  readonly sets: readonly Uint8Array[];
}

const EVERY_BYTE = 256;
/** Compiled rules by their text: the same ones come again with every change of the facts. */
const compiled = new Map<string, SoftHttp>();
const MAX_COMPILED = 512;

function compile(rules: readonly HttpRule[]): SoftHttp {
  const text = JSON.stringify(rules);
  const known = compiled.get(text) ?? compileSoftHttp(rules);
  compiled.delete(text);
  compiled.set(text, known);
  for (const oldest of compiled.keys()) {
    if (compiled.size <= MAX_COMPILED) break;
    compiled.delete(oldest);
  }
  return known;
}

/**
 * Index into `l7Rules` → layer 7 number of the sets that the programs can judge, at most MAX_SOFT_SETS. Soft sets whose tables
 * would be too large are missing: they are the HTTP gate's, like hard ones.
 */
export function softNumbers(l7Rules: readonly L7RuleSet[]): ReadonlyMap<number, number> {
  const numbers = new Map<number, number>();
  for (const [index, { mode, http }] of l7Rules.entries()) {
    if (mode === 'soft' && http !== undefined && numbers.size < MAX_SOFT_SETS && 'tables' in compile(http)) numbers.set(index, numbers.size);
  }
  return numbers;
}

function encodeTables(tables: SoftHttpTables, ruleIds: readonly number[]): Uint8Array {
  const words = new Array<number>(SOFT_WORDS).fill(0);
  const masks: bigint[] = [0n];
  const classes = new Uint8Array(softAutomata(tables).length * EVERY_BYTE);
  const starts: number[] = [];
  // Row 0 is where nothing goes on.
  let base = 1;
  const meaningOf = (outcome: bigint | undefined): number => {
    if (outcome === undefined) return 0;
    const found = masks.indexOf(outcome, 1);
    return found > 0 ? found : masks.push(outcome) - 1;
  };
  const write = ({ classCount, outcomes, next, classes: own }: Automaton, part: number): void => {
    const width = classCount + 1;
    classes.set(own.map((one) => one + 1), part * EVERY_BYTE);
    starts.push(base);
    for (const [state, outcome] of outcomes.entries()) {
      words[base + state * width] = meaningOf(outcome);
      for (let one = 0; one < classCount; one += 1) {
        const target = next[state * classCount + one] ?? -1;
        words[base + state * width + 1 + one] = target < 0 ? 0 : base + target * width;
      }
    }
    base += outcomes.length * width;
  };
  for (const [part, automaton] of softAutomata(tables).entries()) write(automaton, part);
  const filled = <T>(values: readonly T[], count: number, nothing: T): T[] => Array.from({ length: count }, (_, at) => values[at] ?? nothing);
  return SOFT_RULES_TABLES.encode({
    masks: filled(masks, SOFT_MASKS, 0n), needs: filled(tables.needs, SOFT_RULES, 0n), once: tables.once, rule_ids: filled(ruleIds, SOFT_RULES, 0), starts, classes, words,
  });
}

export function buildSoftImage(l7Rules: readonly L7RuleSet[], digest: (...parts: readonly Uint8Array[]) => Uint8Array): SoftImage {
  const sets = [...softNumbers(l7Rules).keys()].flatMap((index) => {
    const http = l7Rules[index]?.http ?? [];
    const found = compile(http);
    return 'tables' in found ? [encodeTables(found.tables, http.map(({ ruleId }) => ruleId))] : [];
  });
  return { digest: sets.length === 0 ? '' : hex(digest(...sets)), sets };
}
