import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createLogger } from '@palisade/nest-kit';
import { DataSource } from 'typeorm';
import { createApplication } from './application.ts';
import { configSchema } from './config.ts';
import { breakingChanges } from './openapi/breaking-changes.ts';
import { documentText, openApiDocument } from './openapi/document.ts';

const path = fileURLToPath(new URL('../openapi.json', import.meta.url));
const usage = 'Usage: openapi.js --check | openapi.js --write [--allow-breaking]';

/** Builds the routes without a database: nothing is asked of it before a request comes. */
async function currentText(): Promise<string> {
  const config = configSchema.parse({ DATABASE_URL: 'postgres://nobody@localhost/none' });
  const source = new DataSource({ type: 'postgres', url: config.DATABASE_URL });
  const { app } = await createApplication({ config, source, logger: createLogger('openapi', 'silent') });
  const text = documentText(openApiDocument(app));
  await app.close();
  return text;
}

async function main([command, option]: readonly string[]): Promise<string> {
  const current = await currentText();
  const committed = readCommitted();
  if (command === '--check') {
    if (committed === current) return 'apps/api/openapi.json agrees with the routes.';
    throw new Error('apps/api/openapi.json does not agree with the routes: run `node apps/api/dist/openapi.js --write` and commit it.');
  }
  if (command !== '--write') throw new Error(usage);
  const breaking = committed === undefined ? [] : breakingChanges(JSON.parse(committed), JSON.parse(current));
  if (breaking.length > 0 && option !== '--allow-breaking') {
    throw new Error(`Not written, clients would break:\n${breaking.map((change) => `  - ${change}`).join('\n')}\nUse --allow-breaking when this is meant.`);
  }
  writeFileSync(path, current);
  return 'Wrote apps/api/openapi.json.';
}

function readCommitted(): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

main(process.argv.slice(2)).then(
  (done) => console.log(done),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  },
);
