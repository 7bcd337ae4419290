/** Kinds of rows, interned for all rule sets of a resolver, so that equal rows of a class are made once. */

import type { Direction } from '../resolution.ts';
import type { EntryTemplates } from './table-rows.ts';

/** What gives rows of one class the same entries: direction, templates, and what else the entries depend on. */
export interface RowKind {
  /** Some kind of the same direction and templates, perhaps itself: their independent entries are the same objects. */
  readonly sibling: RowKind;
}

export class RowKinds {
  /** Rows made since classes last forgot theirs: some are of kinds that nobody uses any more. */
  madeRows = 0;
  private readonly known: Readonly<Record<Direction, Map<EntryTemplates, Map<string, RowKind>>>> = { egress: new Map(), ingress: new Map() };

  /** `context`: text of the rules behind default denies and of the indexes of content rules. */
  get(direction: Direction, templates: EntryTemplates, context: string): RowKind {
    let byContext = this.known[direction].get(templates);
    if (byContext === undefined) {
      byContext = new Map();
      this.known[direction].set(templates, byContext);
    }
    let kind = byContext.get(context);
    if (kind === undefined) {
      const [sibling] = byContext.values();
      kind = sibling === undefined ? new FirstKind() : { sibling };
      byContext.set(context, kind);
    }
    return kind;
  }
}

class FirstKind implements RowKind {
  readonly sibling: RowKind = this;
}
