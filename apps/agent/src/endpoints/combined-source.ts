import type { Log } from '../log.ts';
import { NO_ENDPOINTS, type EndpointFile } from './endpoint-file.ts';
import type { EndpointSource } from './endpoint-source.ts';

/** Several sources as one; an endpoint that two of them name is the earlier one's. */
export class CombinedSource implements EndpointSource {
  readonly #sources: readonly EndpointSource[];
  readonly #log: Log;
  current: EndpointFile = NO_ENDPOINTS;

  constructor(sources: readonly EndpointSource[], log: Log) {
    this.#sources = sources;
    this.#log = log;
  }

  refresh(): boolean {
    // Every source looks, so none falls behind another.
    const changed = this.#sources.map((source) => source.refresh()).includes(true);
    if (!changed) return false;
    const endpoints = new Map<string, EndpointFile['endpoints'][number]>();
    for (const endpoint of this.#sources.flatMap(({ current }) => current.endpoints)) {
      const { key } = endpoint.report;
      if (endpoints.has(key)) this.#log.warn('two endpoint sources name the same endpoint; the first one’s description is used', { key });
      else endpoints.set(key, endpoint);
    }
    this.current = { endpoints: [...endpoints.values()], services: this.#sources.flatMap(({ current }) => current.services), units: [] };
    return true;
  }
}
