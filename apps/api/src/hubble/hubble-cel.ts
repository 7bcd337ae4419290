import { create, createRegistry } from '@bufbuild/protobuf';
import { celEnv, isCelError, objectType, parse, plan } from '@bufbuild/cel';
import type { StoredFlow } from '@palisade/control';
import { DomainError } from '@palisade/errors';
import { celCost } from './cel-cost.ts';
import { file_flow_flow, FlowSchema, type Flow } from './generated/flow/flow_pb.ts';
import { hubbleFlow } from './hubble-flow.ts';

/** As Hubble has it (pkg/hubble/filters): the flow is `_flow`, and names are looked up in package `flow` first. */
const ENVIRONMENT = celEnv({ namespace: 'flow', registry: createRegistry(file_flow_flow), variables: { _flow: objectType(FlowSchema) } });
/** Hubble's own limit. */
const MAX_CHARACTERS = 4096;
/**
 * Steps that all expressions of a call may take for one flow, as `celCost` bounds them: a step takes about 1 µs, a page has
 * 500 flows, and nothing else is answered meanwhile.
 */
export const CEL_STEPS = 1_000;

/** What is left of `CEL_STEPS` for the expressions of a call. */
export interface CelBudget {
  left: number;
}

type Evaluate = (flow: Flow) => boolean;

/**
 * Faults of the expression itself, which the evaluator has no code for. Everything else lies in a flow, such as a label
 * that is not there.
 */
const STATIC_FAULT = /^(field not found|unbound function|unresolved attribute|found no matching overload|type mismatch)/;

function invalid(text: string, why: string): DomainError {
  return new DomainError('request.invalid', `The CEL expression '${text.slice(0, 80)}' cannot be evaluated: ${why.slice(0, 200)}`);
}

function compile(text: string, budget: CelBudget): Evaluate {
  if (text.length > MAX_CHARACTERS) throw invalid(text, `it has more than ${MAX_CHARACTERS} characters.`);
  let evaluator: ReturnType<typeof plan<{ _flow: ReturnType<typeof objectType<typeof FlowSchema>> }>>;
  try {
    const { expr } = parse(text);
    budget.left -= celCost(expr, FlowSchema);
    evaluator = plan(ENVIRONMENT, expr);
  } catch (error) {
    // Nesting of a thousand levels ends the parser's stack.
    throw invalid(text, error instanceof Error ? error.message : String(error));
  }
  if (budget.left < 0) throw invalid(text, `the expressions of a call may take ${CEL_STEPS} steps for a flow, counting 32 for a list; use fewer, or fewer macros in one another.`);
  return (flow) => {
    const result = evaluator({ _flow: flow });
    if (typeof result === 'boolean') return result;
    if (!isCelError(result)) throw invalid(text, 'its result is no boolean.');
    if (STATIC_FAULT.test(result.message)) throw invalid(text, result.message);
    // As Hubble: what cannot be decided for a flow does not match it.
    return false;
  };
}

/**
 * Whether a flow, as Hubble's clients read it, matches one of the expressions. Nothing that is asked is left out: a fault that
 * shows only on some flows (an unknown function behind `&&`) is thrown on the first of them.
 * @throws DomainError `request.invalid` for what is no CEL, has no boolean result, names what is not there, or may take too long
 */
export function celTest(texts: readonly string[], budget: CelBudget): (flow: StoredFlow) => boolean {
  const compiled = texts.map((text) => compile(text, budget));
  const empty = create(FlowSchema);
  for (const evaluate of compiled) evaluate(empty);
  return (flow) => {
    const told = hubbleFlow(flow);
    return compiled.some((evaluate) => evaluate(told));
  };
}
