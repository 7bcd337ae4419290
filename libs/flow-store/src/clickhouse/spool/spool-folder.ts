import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A segment whose content is final. */
export interface SealedSegment {
  readonly number: number;
  /** Microseconds since the Unix epoch; part of the file's name, so that it stays the same over retries. */
  readonly sealedUs: number;
  readonly path: string;
  readonly bytes: number;
}

const DIGITS = 12;
const FILE = /^(\d{12})\.(?:(open)|(?:(\d{16})\.segment)|(landed))$/;

/** What lay in the folder when it was opened. */
export interface FoundSegments {
  /** Numbers of segments that were still being written, lowest first. */
  readonly open: readonly { readonly number: number; readonly bytes: number }[];
  readonly sealed: readonly SealedSegment[];
  /** Highest number ever used here; 0: none. */
  readonly last: number;
}

/**
 * The files of a spool: `writer` (who numbers them), `NNN.open` (being written), `NNN.TIME.segment` (final), `NNN.landed`
 * (empty; keeps the last number). Every change of a name is on disk when its promise fulfils.
 */
export class SpoolFolder {
  readonly path: string;
  readonly writer: string;

  private constructor(path: string, writer: string) {
    this.path = path;
    this.writer = writer;
  }

  /** @throws Error when another process that lives uses the folder */
  static async open(path: string): Promise<SpoolFolder> {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await takeLock(path);
    const place = join(path, 'writer');
    const known = await readFile(place, 'utf8').catch(() => '');
    if (/^[0-9a-f]{8}$/.test(known)) return new SpoolFolder(path, known);
    const writer = randomBytes(4).toString('hex');
    await writeFile(`${place}.new`, writer, { flush: true });
    await rename(`${place}.new`, place);
    const folder = new SpoolFolder(path, writer);
    await folder.sync();
    return folder;
  }

  async found(): Promise<FoundSegments> {
    const open: { number: number; bytes: number }[] = [];
    const sealed: SealedSegment[] = [];
    let last = 0;
    for (const name of (await readdir(this.path)).toSorted()) {
      const match = FILE.exec(name);
      if (match === null) continue;
      const number = Number(match[1]);
      last = Math.max(last, number);
      const path = join(this.path, name);
      const bytes = (await stat(path)).size;
      if (match[2] !== undefined) open.push({ number, bytes });
      if (match[3] !== undefined) sealed.push({ number, sealedUs: Number(match[3]), path, bytes });
    }
    // Sealing was cut off between the two names: the final file counts.
    const final = new Set(sealed.map(({ number }) => number));
    for (const { number } of open) if (final.has(number)) await rm(this.openPath(number));
    return { open: open.filter(({ number }) => !final.has(number)), sealed, last };
  }

  openPath(number: number): string {
    return join(this.path, `${String(number).padStart(DIGITS, '0')}.open`);
  }

  /** Gives an open segment its final content and name. @param content absent: as it is */
  async seal(number: number, sealedUs: number, content?: Buffer): Promise<SealedSegment> {
    const path = join(this.path, `${String(number).padStart(DIGITS, '0')}.${sealedUs}.segment`);
    if (content === undefined) await rename(this.openPath(number), path);
    else {
      await writeFile(`${path}.new`, content, { flush: true });
      await rename(`${path}.new`, path);
      await rm(this.openPath(number), { force: true });
    }
    await this.sync();
    return { number, sealedUs, path, bytes: (await stat(path)).size };
  }

  /** Removes a segment that has landed; its number stays known. */
  async remove(segment: SealedSegment): Promise<void> {
    const note = (number: number): string => join(this.path, `${String(number).padStart(DIGITS, '0')}.landed`);
    await writeFile(note(segment.number), '');
    await this.sync();
    await rm(segment.path, { force: true });
    await rm(note(segment.number - 1), { force: true });
  }

  async sync(): Promise<void> {
    const handle = await open(this.path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  async close(): Promise<void> {
    await rm(join(this.path, 'lock'), { force: true });
  }
}

function lives(pid: number): boolean {
  if (pid === process.pid || !Number.isInteger(pid) || pid < 1) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function takeLock(path: string): Promise<void> {
  const place = join(path, 'lock');
  const holder = Number(await readFile(place, 'utf8').catch(() => '0'));
  if (lives(holder)) {
    throw new Error(`Process ${holder} uses the flow spool ${path}. Give every gateway a folder of its own (FLOW_SPOOL_DIR).`);
  }
  await writeFile(place, String(process.pid));
}
