import type { TestProject } from 'vitest/node';
import { startEngine } from './engine.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** HTTP address of a current ClickHouse engine; every test file makes a database of its own. */
    clickhouseUrl: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const engine = await startEngine();
  project.provide('clickhouseUrl', engine.url);
  return () => engine.stop();
}
