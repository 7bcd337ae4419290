import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { cruise, type ICruiseOptions, type ICruiseResult } from 'dependency-cruiser';
import { checkout } from '../dev/command.ts';

interface Walls {
  readonly rooms: { readonly libs: readonly string[]; readonly apps: readonly string[] };
  readonly forbidden: NonNullable<ICruiseOptions['ruleSet']>['forbidden'];
  readonly options: ICruiseOptions & { enhancedResolveOptions: object };
}

/** A forbidden import: which wall, from which file to which. */
export interface Breach {
  readonly wall: string;
  readonly from: string;
  readonly to: string;
  readonly comment: string;
}

export interface CruiseResult {
  readonly modules: number;
  /** Paths of all files seen, relative to the tree. */
  readonly sources: readonly string[];
  readonly breaches: readonly Breach[];
}

const folders = ['libs', 'apps', 'migrations', 'tools', 'demo', 'e2e', 'bench', 'fleet'];

/** The rules of `.dependency-cruiser.cjs`. */
export function readWalls(): Walls {
  return createRequire(import.meta.url)(join(checkout, '.dependency-cruiser.cjs')) as Walls;
}

/**
 * Follows all imports of a tree and reports those that the rules forbid.
 *
 * @param tree the checkout, or one that is laid out like it.
 */
export async function cruiseWalls(tree: string): Promise<CruiseResult> {
  const { forbidden, options } = readWalls();
  const { enhancedResolveOptions, ...cruiseOptions } = options;
  const { output } = await cruise(
    folders.filter((folder) => existsSync(join(tree, folder))),
    { ...cruiseOptions, baseDir: tree, ruleSet: { forbidden: forbidden ?? [] }, validate: true },
    enhancedResolveOptions as never,
  );
  const result = output as ICruiseResult;
  const comments = new Map((forbidden ?? []).map((rule) => [rule.name, rule.comment ?? '']));
  return {
    modules: result.summary.totalCruised,
    sources: result.modules.map(({ source }) => source),
    breaches: result.summary.violations.map(({ rule, from, to }) => ({
      wall: rule.name,
      from,
      to,
      comment: comments.get(rule.name) ?? '',
    })),
  };
}
