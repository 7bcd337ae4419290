/**
 * The HTTP rules of one rule set as tables of a bounded size, which the kernel judges the head of a request with
 * (bpf/lib/soft_http.h). Same answers as `compileHttpMatch` on every head that is well formed, in normal form, and within
 * what soft rules take: no body but one with a length, no change of protocol, no expectation, no field twice that counts.
 */

import type { HttpMatch } from '../ir.ts';
import { buildAutomaton, type Automaton, type Outcome } from './automaton.ts';
import { TableEffort, TooLarge, expressionMachine, type Machine } from './machine.ts';
import { blankLineMachine, fieldMachine, lineMachine, literalMachine, targetMachine, tokenMachine, versionMachine } from './request-machines.ts';

export const SOFT_LIMITS = {
  rules: 64,
  /** Conditions on fields, with those that every head has to fulfil. */
  conditions: 64,
  /** Different meanings of texts. */
  outcomes: 255,
  /** A row for each state: its meaning, then the next state by class of byte. */
  words: 32_768,
  /** Of making the tables of one peer and port, see `TableEffort`: half a second. Sixty rules like `/service1/.*` take a quarter of it. */
  steps: 10_000_000,
  /** Of what is read at once: some 180 sets of a few rules. */
  stepsAtOnce: 40_000_000,
} as const;

/** What a field's line says besides rules' conditions. */
export const SOFT_FIELD = { host: 1n, length: 2n, end: 4n } as const;
const FIRST_CONDITION = 3;

export interface SoftHttpTables {
  /** Meanings: one bit for each rule that the part allows. */
  readonly method: Automaton;
  readonly target: Automaton;
  readonly version: Automaton;
  /** One line of the header; meanings: `SOFT_FIELD` and conditions. */
  readonly field: Automaton;
  /** Conditions of which a head may fulfil each but once. */
  readonly once: bigint;
  /** By rule: the conditions that it demands. */
  readonly needs: readonly bigint[];
}

/** What may be computed for all rule sets that come together. */
export function effortAtOnce(): TableEffort {
  return new TableEffort(SOFT_LIMITS.stepsAtOnce, 'making the tables of all soft rules that were sent together (send them in several parts)');
}

export type SoftHttp = { readonly tables: SoftHttpTables } | { readonly tooLarge: string };

const ALL = (1n << 64n) - 1n;
const DIGITS = '[0-9]{1,15}';
const HOST = String.raw`(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?`;
/** Fields that change what follows the head, or that ask for an answer before it. */
const REFUSED_FIELDS = ['transfer-encoding', 'upgrade', 'expect'];

/** Numbers the distinct values in order of appearance. */
function distinct<T>(values: readonly T[]): readonly T[] {
  return [...new Set(values)];
}

function given(value: string | undefined): value is string {
  return value !== undefined && value !== '';
}

/** The rules' bits that a part allows: those without an expression for it, and those whose expression matches. */
function partAutomaton(valid: Machine, forbidden: readonly Machine[], expressions: readonly (string | undefined)[], effort: TableEffort): Automaton {
  const wanted = distinct(expressions.filter(given));
  const free = expressions.reduce((mask, one, rule) => (given(one) ? mask : mask | (1n << BigInt(rule))), 0n);
  const masks = wanted.map((expression) => expressions.reduce((mask, one, rule) => (one === expression ? mask | (1n << BigInt(rule)) : mask), 0n));
  const machines = [valid, ...forbidden, ...wanted.map((one) => expressionMachine(one, effort))];
  return buildAutomaton(machines, (accepts) => {
    if (accepts[0] !== true || forbidden.some((_, index) => accepts[1 + index])) return undefined;
    return masks.reduce((mask, one, index) => (accepts[1 + forbidden.length + index] === true ? mask | one : mask), free);
  }, effort);
}

interface Condition {
  readonly text: string;
  readonly machine: (effort: TableEffort) => Machine;
  /** A second line that fulfils it makes the head one that is not judged. */
  readonly once: boolean;
}

function present(name: string): Condition {
  return { text: `present ${name.toLowerCase()}`, machine: () => fieldMachine(name, undefined), once: true };
}

function conditionsOf({ host, headers }: HttpMatch): readonly Condition[] {
  const fields = (headers ?? [])
    .filter(({ mismatch }) => mismatch === undefined)
    .flatMap(({ name, value }): Condition[] => [
      present(name),
      ...(value === undefined ? [] : [{ text: `value ${name.toLowerCase()} ${value}`, machine: () => fieldMachine(name, literalMachine(value)), once: false }]),
    ]);
  return given(host) ? [...fields, { text: `host ${host}`, machine: (effort) => fieldMachine('host', expressionMachine(host, effort)), once: false }] : fields;
}

/** Accepts of the field automaton's own machines, in this order. */
function fieldMeaning([line, blank, host, goodHost, length, goodLength, ...refused]: readonly (boolean | undefined)[]): Outcome {
  if (line !== true || (host === true && goodHost !== true) || (length === true && goodLength !== true) || refused.includes(true)) return undefined;
  return (host === true ? SOFT_FIELD.host : 0n) | (length === true ? SOFT_FIELD.length : 0n) | (blank === true ? SOFT_FIELD.end : 0n);
}

function fieldAutomaton(conditions: readonly Condition[], effort: TableEffort): Automaton {
  const own = [
    lineMachine(), blankLineMachine(), fieldMachine('host', undefined), fieldMachine('host', expressionMachine(HOST, effort)),
    fieldMachine('content-length', undefined), fieldMachine('content-length', expressionMachine(DIGITS, effort)),
    ...REFUSED_FIELDS.map((name) => fieldMachine(name, undefined)),
  ];
  return buildAutomaton([...own, ...conditions.map(({ machine }) => machine(effort))], (accepts) => {
    const meaning = fieldMeaning(accepts.slice(0, own.length));
    if (meaning === undefined) return undefined;
    return conditions.reduce((mask, _, index) => (accepts[own.length + index] === true ? mask | (1n << BigInt(FIRST_CONDITION + index)) : mask), meaning);
  }, effort);
}

function build(rules: readonly HttpMatch[], effort: TableEffort): SoftHttpTables {
  if (rules.length > SOFT_LIMITS.rules) throw new TooLarge(`${rules.length} rules on one peer and port; at most ${SOFT_LIMITS.rules} can be`);
  const conditions = [...new Map(rules.flatMap(conditionsOf).map((one) => [one.text, one])).values()];
  if (conditions.length + FIRST_CONDITION > SOFT_LIMITS.conditions) throw new TooLarge(`${conditions.length} conditions on headers and hosts; at most ${SOFT_LIMITS.conditions - FIRST_CONDITION} can be`);
  const bit = new Map(conditions.map(({ text }, index) => [text, 1n << BigInt(FIRST_CONDITION + index)]));
  const bitOf = ({ text }: Condition): bigint => bit.get(text) ?? ALL;
  return {
    method: partAutomaton(tokenMachine(), [literalMachine('CONNECT')], rules.map(({ method }) => method), effort),
    target: partAutomaton(targetMachine(), [], rules.map(({ path }) => path), effort),
    version: buildAutomaton([versionMachine()], ([accepted]) => (accepted === true ? ALL : undefined), effort),
    field: fieldAutomaton(conditions, effort),
    once: conditions.filter(({ once }) => once).reduce<bigint>((mask, one) => mask | bitOf(one), SOFT_FIELD.host | SOFT_FIELD.length),
    needs: rules.map((rule) => conditionsOf(rule).reduce<bigint>((mask, one) => mask | bitOf(one), SOFT_FIELD.host)),
  };
}

/** The tables' rows, in the order in which they lie one after the other. */
export function softAutomata({ method, target, version, field }: SoftHttpTables): readonly [Automaton, Automaton, Automaton, Automaton] {
  return [method, target, version, field];
}

function checkSize(tables: SoftHttpTables): SoftHttpTables {
  const automata = softAutomata(tables);
  const words = automata.reduce((sum, { outcomes, classCount }) => sum + outcomes.length * (classCount + 1), 1);
  if (words > SOFT_LIMITS.words) throw new TooLarge(`the expressions make ${words} table entries; at most ${SOFT_LIMITS.words} can be`);
  const meanings = new Set(automata.flatMap(({ outcomes }) => outcomes));
  if (meanings.size > SOFT_LIMITS.outcomes) throw new TooLarge(`the rules can match in ${meanings.size} combinations; at most ${SOFT_LIMITS.outcomes} can be`);
  return tables;
}

/**
 * @param within what may be computed for all sets that come together; these rules have a bound of their own besides
 * @throws re2js's syntax error
 */
export function compileSoftHttp(rules: readonly HttpMatch[], within?: TableEffort): SoftHttp {
  try {
    const effort = new TableEffort(SOFT_LIMITS.steps, 'making their tables', within);
    return { tables: checkSize(build(rules, effort)) };
  } catch (error) {
    if (error instanceof TooLarge) return { tooLarge: error.message };
    throw error;
  }
}
