import type { parse } from '@bufbuild/cel';
import type { DescField, DescMessage } from '@bufbuild/protobuf';

type Expression = ReturnType<typeof parse>['expr'];
type Kind = Expression['exprKind'];
type ValueOf<Case extends Kind['case']> = Extract<Kind, { case: Case }>['value'];

/** What the parser calls the accumulator of a macro; no expression can name it itself. */
const ACCUMULATOR = '@result';
/** A list that is not written out is one of a flow's, such as labels. */
const LISTED = 32;
/** An expression matched with a text of some length. */
const MATCH_STEPS = 50;

/**
 * The most steps that evaluating takes: evaluations of a node, macros counted for each element. What makes values grow in a
 * loop is refused (`map`, `+` in a macro), so a step costs about the same whatever was evaluated before.
 * @throws Error saying what is refused: a macro that makes values grow, or a field of `_flow` that the schema does not have
 */
export function celCost(expression: Expression, schema: DescMessage): number {
  const costs = (list: readonly (Expression | undefined)[], inLoop: string | undefined): number => list.reduce((sum, one) => sum + cost(one, inLoop), 0);
  /** @param inLoop the variable of the loop around; undefined outside */
  const cost = (one: Expression | undefined, inLoop: string | undefined): number => {
    const kind = one?.exprKind;
    switch (kind?.case) {
      case 'selectExpr':
        checkField(kind.value, schema);
        return 1 + cost(kind.value.operand, inLoop);
      case 'callExpr': {
        const { function: name, target, args } = kind.value;
        if (inLoop !== undefined && name === '_+_' && !isMacroSum(kind.value, inLoop)) throw new Error('map and + make values grow in a macro; all, exists, exists_one and filter do not.');
        return (name === 'matches' ? MATCH_STEPS : 1) + costs([target, ...args], inLoop);
      }
      case 'listExpr': return 1 + costs(kind.value.elements, inLoop);
      case 'structExpr': return 1 + costs(kind.value.entries.flatMap(({ keyKind, value }) => (keyKind.case === 'mapKey' ? [keyKind.value, value] : [value])), inLoop);
      case 'comprehensionExpr': {
        const { iterRange, accuInit, loopCondition, loopStep, result, iterVar } = kind.value;
        return 1 + costs([iterRange, accuInit, result], inLoop) + lengthOf(iterRange) * costs([loopCondition, loopStep], iterVar);
      }
      default: return 1;
    }
  };
  return cost(expression, undefined);
}

function lengthOf(range: Expression | undefined): number {
  const kind = range?.exprKind;
  if (kind?.case === 'listExpr') return kind.value.elements.length;
  if (kind?.case === 'structExpr') return kind.value.entries.length;
  if (kind?.case === 'comprehensionExpr') return lengthOf(kind.value.iterRange);
  if (kind?.case === 'callExpr' && kind.value.function === '_+_') return kind.value.args.reduce((sum, one) => sum + lengthOf(one), 0);
  if (kind?.case === 'callExpr' && kind.value.function === '_?_:_') return Math.max(...kind.value.args.slice(1).map(lengthOf));
  return LISTED;
}

/** What `exists_one` counts and `filter` collects: one, or the element as it is. */
function isMacroSum({ args: [sum, added] }: ValueOf<'callExpr'>, iterVar: string): boolean {
  if (sum?.exprKind.case !== 'identExpr' || sum.exprKind.value.name !== ACCUMULATOR) return false;
  if (added?.exprKind.case === 'constExpr') return true;
  if (added?.exprKind.case !== 'listExpr') return false;
  const [element, ...others] = added.exprKind.value.elements;
  return others.length === 0 && element?.exprKind.case === 'identExpr' && element.exprKind.value.name === iterVar;
}

/** The evaluator finds a field that is not there only once it is asked for, on some flows. */
function checkField(select: ValueOf<'selectExpr'>, schema: DescMessage): void {
  const path: string[] = [];
  let at: Expression | undefined;
  for (at = { exprKind: { case: 'selectExpr', value: select } } as Expression; at?.exprKind.case === 'selectExpr'; at = at.exprKind.value.operand) path.unshift(at.exprKind.value.field);
  if (at?.exprKind.case !== 'identExpr' || at.exprKind.value.name !== '_flow') return;
  let message: DescMessage | undefined = schema;
  for (const name of path) {
    const field: DescField | undefined = message?.fields.find((one) => one.name === name);
    if (field === undefined) throw new Error(`'_flow.${path.join('.')}' is no field that this server fills.`);
    message = field.fieldKind === 'message' ? field.message : undefined;
  }
}
