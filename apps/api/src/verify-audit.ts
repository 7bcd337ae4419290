import { createReadStream, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { parseVerifierKey, verifyExport, type Verification } from '@palisade/audit';

const usage = 'Usage: verify-audit.js EXPORT --key FILE [--checkpoint FILE …]   FILE of --key: the audit.pub of the worker';

/** Verifies an audit export offline: no service, no database. Exits with 1 when something is wrong with it. */
async function main(): Promise<Verification> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { key: { type: 'string' }, checkpoint: { type: 'string', multiple: true } } });
  const [path] = positionals;
  if (path === undefined || values.key === undefined || positionals.length > 1) throw new Error(usage);
  const verifier = parseVerifierKey(readFileSync(values.key, 'utf8'));
  const known = (values.checkpoint ?? []).map((file) => readFileSync(file, 'utf8'));
  const lines = createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY });
  return verifyExport(lines, verifier, known);
}

main().then(
  ({ ok, faults, events, redacted, size, signedUpTo }) => {
    for (const { kind, line, detail } of faults) console.log(`${kind}${line === undefined ? '' : ` (line ${line})`}: ${detail}`);
    console.log(`${ok ? 'The export is sound' : 'The export is NOT sound'}: ${events} events, ${redacted} left out by the filter, up to number ${size}; signed up to ${signedUpTo}.`);
    if (!ok) process.exitCode = 1;
  },
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 2;
  },
);
