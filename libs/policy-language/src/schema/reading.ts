/** The state of reading one object: where problems go. */

import type { Problem, ProblemCode } from '../problem.ts';
import { pointerOf, type SourceNode } from '../source/source-node.ts';

/** Turns a source node into a value, or reports why not and returns undefined. */
export type Reader<T> = (node: SourceNode, reading: Reading) => T | undefined;

/** A demand beyond shape: reports through `reading`, pointing at the field that breaks it. */
export type Check<T> = (value: T, node: SourceNode, reading: Reading) => void;

export class Reading {
  readonly problems: Problem[] = [];
  private readonly document: number;
  private readonly place: (offset: number) => { line: number; column: number };

  constructor(document: number, place: (offset: number) => { line: number; column: number }) {
    this.document = document;
    this.place = place;
  }

  /** Reports an error and returns undefined, so that a reader can end with it. */
  error(node: SourceNode, code: ProblemCode, message: string): undefined {
    this.report('error', node, code, message);
  }

  warning(node: SourceNode, code: ProblemCode, message: string): void {
    this.report('warning', node, code, message);
  }

  get failed(): boolean {
    return this.problems.some(({ severity }) => severity === 'error');
  }

  private report(severity: 'error' | 'warning', node: SourceNode, code: ProblemCode, message: string): void {
    const place = node.offset < 0 ? { line: 0, column: 0 } : this.place(node.offset);
    this.problems.push({ severity, document: this.document, ...place, pointer: pointerOf(node), code, message });
  }
}

/** Text of an author in a message: quoted, and short however long it is. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
}
