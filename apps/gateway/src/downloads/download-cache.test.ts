import { describe, expect, it } from 'vitest';
import { DownloadCache } from './download-cache.ts';

const file = (bytes: number) => new Uint8Array(bytes);

describe('content that a whole wave asks for', () => {
  it('is read once, however many ask while it is being read', async () => {
    const cache = new DownloadCache(1_000);
    let reads = 0;
    const read = async () => ((reads += 1), file(100));
    const answers = await Promise.all(Array.from({ length: 50 }, () => cache.get('t a', read)));
    expect(reads).toBe(1);
    expect(new Set(answers).size).toBe(1);
    await cache.get('t a', read);
    expect(reads).toBe(1);
  });

  it('is read for each tenant, for the key names it', async () => {
    const cache = new DownloadCache(1_000);
    expect(await cache.get('one a', async () => file(1))).toHaveLength(1);
    expect(await cache.get('other a', async () => undefined)).toBeUndefined();
  });

  it.each([['is not there', async () => undefined], ['could not be read', async () => Promise.reject(new Error('lost'))]])('is asked for again when it %s', async (_what, failing) => {
    const cache = new DownloadCache(1_000);
    await cache.get('t a', failing).catch(() => undefined);
    expect(await cache.get('t a', async () => file(7))).toHaveLength(7);
  });

  it('stays within its bytes: the least recently used goes first', async () => {
    const cache = new DownloadCache(1_000);
    for (const name of ['a', 'b', 'c', 'd']) await cache.get(name, async () => file(250));
    await cache.get('a', async () => file(0));
    await cache.get('e', async () => file(250));
    expect(cache.bytes).toBe(1_000);
    let read = 0;
    await cache.get('a', async () => ((read += 1), file(250)));
    expect(read).toBe(0);
    await cache.get('b', async () => ((read += 1), file(250)));
    expect(read).toBe(1);
  });

  it('passes a file through that would push out all others', async () => {
    const cache = new DownloadCache(1_000);
    await cache.get('big', async () => file(251));
    expect(cache.bytes).toBe(0);
  });
});
