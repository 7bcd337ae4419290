import type { AgentDesk } from '@palisade/control';
import { DownloadCache } from './download-cache.ts';

const CACHE_BYTES = 64 * 1024 * 1024;
/** Metadata has no digest in its name; this old at most is what a wave is told at once. */
const METADATA_MS = 1_000;
const METADATA_ENTRIES = 256;

/**
 * A desk whose files are read once for all the nodes that want them: after a push a wave asks for the same manifest, the
 * same programs and the same metadata within a second.
 */
export function withDownloadCache(desk: AgentDesk, now: () => number = Date.now): AgentDesk {
  const files = new DownloadCache(CACHE_BYTES);
  const metadata = new Map<string, { readonly value: ReturnType<AgentDesk['metadata']>; readonly readAtMs: number }>();
  return {
    ...desk,
    manifest: (tenantId, clusterId, sha256) => files.get(`manifest ${tenantId} ${clusterId} ${sha256}`, () => desk.manifest(tenantId, clusterId, sha256)),
    blob: (tenantId, sha256) => files.get(`blob ${tenantId} ${sha256}`, () => desk.blob(tenantId, sha256)),
    metadata(role, version) {
      const key = `${role} ${version ?? 'newest'}`;
      const known = metadata.get(key);
      if (known !== undefined && now() - known.readAtMs < METADATA_MS) return known.value;
      const value = desk.metadata(role, version);
      metadata.set(key, { value, readAtMs: now() });
      if (metadata.size > METADATA_ENTRIES) metadata.delete(metadata.keys().next().value!);
      value.catch(() => metadata.delete(key));
      return value;
    },
  };
}
