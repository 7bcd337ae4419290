import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { sha256Hex } from '@palisade/bundle';
import type { CheckedObject, ProgramSet, PublishedObject } from '@palisade/control';
import { kindOfSection, readProgramObject } from './program-object.ts';

export interface ProgramFindings {
  readonly problems: readonly string[];
  readonly note: string;
  readonly objects: readonly CheckedObject[];
}

/** Says whether the programs of a candidate can be loaded. */
export interface ProgramCheck {
  check(programs: ProgramSet): Promise<ProgramFindings>;
}

/** What the child that loads one object answers. */
export type LoadAnswer =
  | { readonly outcome: 'loaded'; readonly verifiedInstructions: number; readonly release: string }
  | { readonly outcome: 'refused'; readonly message: string }
  /** This machine cannot load programs. */
  | { readonly outcome: 'unable'; readonly message: string };

const LOAD_LIMIT_MS = 60_000;
const ANSWER_LIMIT = 64 * 1024;
const OWN_ARCH = process.arch === 'arm64' ? 'arm64' : 'amd64';
const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js';

/**
 * Loads the objects of this machine's architecture in its kernel, in a process of its own, so that the verifier judges them
 * before a node does. Where the kernel cannot be asked (no right, no addon, another architecture) the form of the object
 * is checked instead, and the report says so. The same object is loaded once.
 */
export class KernelProgramCheck implements ProgramCheck {
  readonly #load: (object: Uint8Array) => Promise<LoadAnswer>;
  readonly #known = new Map<string, Promise<LoadAnswer>>();

  constructor(load: (object: Uint8Array) => Promise<LoadAnswer> = loadInChild) {
    this.#load = load;
  }

  async check(programs: ProgramSet): Promise<ProgramFindings> {
    const problems: string[] = [];
    const objects: CheckedObject[] = [];
    const notes = new Set<string>();
    for (const [arch, published] of programs.byArch) {
      for (const object of published) {
        const name = `${object.name} (${arch})`;
        const form = checkForm(object);
        problems.push(...form.problems.map((problem) => `Program object ${name} is refused: ${problem}.`));
        if (form.problems.length > 0) continue;
        // An agent of another version may attach what this worker does not know: that is no reason to refuse it.
        if (form.unknown.length > 0) notes.add(`Of ${name} this worker does not know and did not load: ${form.unknown.join(', ')}.`);
        const answer = arch === OWN_ARCH ? await this.#ask(object) : ({ outcome: 'unable', message: `Objects for ${arch} are checked by their form: this worker runs on ${OWN_ARCH}.` } as const);
        if (answer.outcome === 'refused') problems.push(`The kernel refuses program object ${name}: ${answer.message}`);
        else notes.add(answer.outcome === 'loaded' ? `Loaded and verified by kernel ${answer.release}.` : answer.message);
        const loaded = answer.outcome === 'loaded';
        objects.push({ name: object.name, arch, method: answer.outcome === 'unable' ? 'static' : 'kernel', programs: form.programs, verifiedInstructions: loaded ? answer.verifiedInstructions : null });
      }
    }
    return { problems, note: [...notes].join(' '), objects };
  }

  async #ask({ object }: PublishedObject): Promise<LoadAnswer> {
    const digest = sha256Hex(object);
    const asked = this.#known.get(digest) ?? this.#load(object);
    this.#known.set(digest, asked);
    const answer = await asked;
    // Whether this machine can load may change; what the verifier said of these bytes does not.
    if (answer.outcome === 'unable') this.#known.delete(digest);
    return answer;
  }
}

function checkForm({ object }: PublishedObject): { readonly problems: readonly string[]; readonly programs: number; readonly unknown: readonly string[] } {
  try {
    const { programs, hasBtf, license } = readProgramObject(object);
    const unknown = programs.filter(({ section }) => kindOfSection(section) === undefined);
    return {
      programs: programs.length,
      unknown: unknown.map(({ name, section }) => `${name} (${section})`),
      problems: [
        ...(programs.length === unknown.length ? ['it holds no program that an agent attaches'] : []),
        ...(hasBtf ? [] : ['it has no BTF, so nodes could not relocate it to their kernels']),
        ...(license === '' ? ['it names no license'] : []),
      ],
    };
  } catch (error) {
    return { programs: 0, unknown: [], problems: [error instanceof RangeError ? error.message : String(error)] };
  }
}

/** A child, because a kernel that takes long, or a loader that crashes, must not take the worker along. */
async function loadInChild(object: Uint8Array): Promise<LoadAnswer> {
  const script = fileURLToPath(new URL(`../load-programs.${EXTENSION}`, import.meta.url));
  const conditions = EXTENSION === 'ts' ? ['--conditions=palisade-src'] : [];
  const child = spawn(process.execPath, [...conditions, script], { stdio: ['pipe', 'pipe', 'ignore'], env: { PATH: process.env['PATH'] ?? '' } });
  const limit = setTimeout(() => child.kill('SIGKILL'), LOAD_LIMIT_MS);
  try {
    return await new Promise<LoadAnswer>((resolve) => {
      let answer = '';
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
        if (answer.length < ANSWER_LIMIT) answer += chunk;
      });
      child.stdin.on('error', () => undefined);
      child.once('error', (error) => resolve({ outcome: 'unable', message: `The program check did not start: ${error.message}` }));
      child.once('close', (code, signal) => resolve(readAnswer(answer) ?? { outcome: 'unable', message: `The program check ended without an answer (${signal ?? `exit code ${code}`}).` }));
      child.stdin.end(object);
    });
  } finally {
    clearTimeout(limit);
  }
}

function readAnswer(text: string): LoadAnswer | undefined {
  try {
    return JSON.parse(text) as LoadAnswer;
  } catch {
    return undefined;
  }
}
