import type { Log } from '../../log.ts';
import type { EndpointFile } from '../endpoint-file.ts';
import { NO_ENDPOINTS } from '../endpoint-file.ts';
import type { EndpointSource } from '../endpoint-source.ts';
import type { KubernetesAccess } from './api-client.ts';
import { keepPod, keepService, keepSlice, podEndpoint, reportedServices, type KeptPod, type KeptService, type KeptSlice } from './pod-endpoints.ts';
import { Reflector } from './reflector.ts';

export interface KubernetesSourceOptions {
  readonly access: KubernetesAccess;
  /** `spec.nodeName` of this node's pods. */
  readonly nodeName: string;
  /** Host side of a pod's veth; empty: not found yet. */
  readonly interfaceOf: (pod: KeptPod) => string;
  readonly log: Log;
  readonly now?: () => number;
  readonly maxWaitMs?: number;
}

/** Interfaces that were not found are looked for again this often. */
const LOOK_AGAIN_MS = 500;

/** Pods of this node, and the cluster's services, as the API server tells them. Nothing is said before the first whole lists. */
export class KubernetesSource implements EndpointSource {
  readonly #options: KubernetesSourceOptions;
  readonly #pods: Reflector<KeptPod>;
  readonly #namespaces: Reflector<Readonly<Record<string, string>>>;
  readonly #services: Reflector<KeptService>;
  readonly #slices: Reflector<KeptSlice>;
  /** Pod uid → interface: found once, since it stays the pod's for its life. */
  readonly #interfaces = new Map<string, string>();
  #changed = false;
  #missing = false;
  #lookedMs = 0;
  current: EndpointFile = NO_ENDPOINTS;

  constructor(options: KubernetesSourceOptions) {
    const { access, log, nodeName, maxWaitMs } = options;
    const changed = (): void => {
      this.#changed = true;
    };
    const common = { access, changed, log, ...(maxWaitMs !== undefined && { maxWaitMs }) };
    this.#options = options;
    this.#pods = new Reflector({ ...common, path: `/api/v1/pods?fieldSelector=${encodeURIComponent(`spec.nodeName=${nodeName}`)}`, keep: keepPod });
    this.#namespaces = new Reflector({ ...common, path: '/api/v1/namespaces', keep: ({ metadata }) => metadata.labels ?? {} });
    this.#services = new Reflector({ ...common, path: '/api/v1/services', keep: keepService });
    this.#slices = new Reflector({ ...common, path: '/apis/discovery.k8s.io/v1/endpointslices', keep: keepSlice });
  }

  get #reflectors(): readonly Reflector<unknown>[] {
    return [this.#pods, this.#namespaces, this.#services, this.#slices];
  }

  /** Runs until the signal. */
  async run(stop: AbortSignal): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.run(stop)));
  }

  refresh(): boolean {
    const now = (this.#options.now ?? Date.now)();
    const lookAgain = this.#missing && now - this.#lookedMs >= LOOK_AGAIN_MS;
    if ((!this.#changed && !lookAgain) || !this.#reflectors.every(({ synced }) => synced)) return false;
    this.#changed = false;
    this.#lookedMs = now;
    const next = this.#describe();
    if (JSON.stringify(next) === JSON.stringify(this.current)) return false;
    this.current = next;
    return true;
  }

  #describe(): EndpointFile {
    const pods = [...this.#pods.objects.values()];
    const alive = new Set(pods.map(({ uid }) => uid));
    for (const uid of this.#interfaces.keys()) if (!alive.has(uid)) this.#interfaces.delete(uid);
    this.#missing = false;
    const endpoints = pods.map((pod) => podEndpoint(pod, this.#namespaces.objects.get(`/${pod.namespace}`) ?? {}, this.#interfaceOf(pod)));
    return { endpoints, services: reportedServices(this.#services.objects.values(), this.#slices.objects.values()), units: [] };
  }

  #interfaceOf(pod: KeptPod): string {
    const known = this.#interfaces.get(pod.uid);
    if (known !== undefined) return known;
    const found = this.#options.interfaceOf(pod);
    if (found === '') this.#missing = true;
    else this.#interfaces.set(pod.uid, found);
    return found;
  }
}
