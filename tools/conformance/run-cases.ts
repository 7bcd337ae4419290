/** Runs case files against the parser and the engine. */

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createPolicySet, PolicyEngine } from '@palisade/policy';
import { parsePolicies, type ParseOptions } from '@palisade/policy-language';
import type { CaseFile, CaseFlow, ConformanceCase, PolicyEntry } from './case-file.ts';
import { clusterFacts, flowQuery } from './cluster-facts.ts';

/** What was found for one flow, or for one entry of an invalid or valid list. */
export interface CaseResult {
  readonly case: string;
  /** Index of the flow in its case; 0 for entries of lists. */
  readonly flow: number;
  /** A verdict, `accept`, `reject`, or `error: …` when the case could not be run. */
  readonly got: string;
  readonly egress?: string;
  readonly ingress?: string;
}

export interface CaseFailure extends CaseResult {
  readonly file: string;
  readonly title: string;
  readonly expected: string;
}

export interface ConformanceReport {
  readonly passed: number;
  readonly failed: number;
  readonly failures: readonly CaseFailure[];
  readonly results: readonly CaseResult[];
}

/** The case files of a folder in the order of their names. Throws when the folder cannot be read. */
export function readCaseFiles(folder: string): readonly { readonly file: string; readonly content: CaseFile }[] {
  const names = readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .sort();
  return names.map((file) => ({ file, content: readCaseFile(join(folder, file)) }));
}

function readCaseFile(path: string): CaseFile {
  const content = JSON.parse(readFileSync(path, 'utf8')) as CaseFile;
  if (content.format !== 1) throw new Error(`${path} has format ${String(content.format)}; this runner reads format 1.`);
  return content;
}

/** Runs all files. Flows without `expect` give results, neither passed nor failed. */
export function runConformance(files: readonly { readonly file: string; readonly content: CaseFile }[]): ConformanceReport {
  const results: CaseResult[] = [];
  const failures: CaseFailure[] = [];
  let passed = 0;
  const judge = (file: string, title: string, result: CaseResult, expected: Expectation) => {
    results.push(result);
    const differing = differences(result, expected);
    if (differing === undefined) return;
    if (differing === '') passed++;
    else failures.push({ ...result, file, title, expected: differing });
  };
  for (const { file, content } of files) {
    for (const one of content.cases ?? []) {
      for (const [i, result] of runCase(one).entries()) judge(file, one.title, result, one.flows[i] ?? {});
    }
    for (const entry of content.invalid ?? []) judge(file, entry.reason ?? '', runEntry(entry), { expect: 'reject' });
    for (const entry of content.valid ?? []) judge(file, entry.note ?? '', runEntry(entry), { expect: 'accept' });
  }
  return { passed, failed: failures.length, failures, results };
}

interface Expectation {
  readonly expect?: string;
  readonly egress?: string;
  readonly ingress?: string;
}

/** Undefined: nothing was expected. Empty: all as expected. Otherwise what was. */
function differences(result: CaseResult, expected: Expectation): string | undefined {
  if (expected.expect === undefined) return undefined;
  const parts: string[] = [];
  if (expected.expect !== result.got) parts.push(expected.expect);
  if (expected.egress !== undefined && expected.egress !== result.egress) parts.push(`egress ${expected.egress}`);
  if (expected.ingress !== undefined && expected.ingress !== result.ingress) parts.push(`ingress ${expected.ingress}`);
  return parts.join(', ');
}

function runCase(one: ConformanceCase): CaseResult[] {
  try {
    const options: ParseOptions = { fromApiServer: true, legacyRequires: one.kind === 'cilium-legacy' };
    const parsed = parsePolicies(one.policies.map((policy) => JSON.stringify(policy)).join('\n---\n'), options);
    const error = parsed.problems.find(({ severity }) => severity === 'error');
    if (error !== undefined) throw new Error(`policy ${error.document} is refused at ${error.pointer}: ${error.message}`);
    const engine = new PolicyEngine(createPolicySet(parsed.documents), clusterFacts(one.cluster));
    return one.flows.map((flow, i) => runFlow(one.id, i, flow, engine));
  } catch (error) {
    return one.flows.map((_, i) => ({ case: one.id, flow: i, got: messageOf(error) }));
  }
}

function runFlow(id: string, index: number, flow: CaseFlow, engine: PolicyEngine): CaseResult {
  try {
    const { verdict, egress, ingress } = engine.verdict(flowQuery(flow));
    return { case: id, flow: index, got: verdict, egress: egress.verdict, ingress: ingress.verdict };
  } catch (error) {
    return { case: id, flow: index, got: messageOf(error) };
  }
}

/** Read as a person would send it: unknown peers are errors here. */
function runEntry(entry: PolicyEntry): CaseResult {
  const { documents, cidrGroups } = parsePolicies(JSON.stringify(entry.policy));
  return { case: entry.id, flow: 0, got: documents.length + cidrGroups.length > 0 ? 'accept' : 'reject' };
}

function messageOf(error: unknown): string {
  return `error: ${error instanceof Error ? error.message : String(error)}`;
}
