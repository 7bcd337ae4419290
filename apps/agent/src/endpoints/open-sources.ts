import { cgroup2Mount } from '@palisade/kernel';
import type { Log } from '../log.ts';
import { CombinedSource } from './combined-source.ts';
import { StaticEndpointSource, type EndpointSource } from './endpoint-source.ts';
import { inClusterAccess } from './kubernetes/api-client.ts';
import { KubernetesSource } from './kubernetes/kubernetes-source.ts';
import { podInterface, type NodeView } from './kubernetes/pod-interface.ts';
import { UnitSource } from './unit-source.ts';

export interface SourceSettings {
  readonly endpointsFile: string;
  /** Name of this node in Kubernetes; absent: its pods are not asked for. */
  readonly kubernetesNode?: string;
}

export interface OpenSources {
  readonly source: EndpointSource;
  /** What has to run beside the agent, until the signal. */
  run(stop: AbortSignal): Promise<void>;
}

/**
 * The endpoint file, the units it selects, and this node's pods.
 * @param node undefined where this kernel cannot be used: interfaces of pods are not looked for
 * @throws Error where Kubernetes is asked for outside of a cluster
 */
export function openSources(settings: SourceSettings, node: NodeView | undefined, log: Log): OpenSources {
  const file = new StaticEndpointSource(settings.endpointsFile, log);
  const units = new UnitSource(cgroup2Mount(), () => file.current.units);
  const { kubernetesNode } = settings;
  if (kubernetesNode === undefined) return { source: new CombinedSource([file, units], log), run: async () => undefined };
  const access = inClusterAccess();
  if (access === undefined) throw new Error('--kubernetes-node needs the API server’s address: run the agent as a pod, or set KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT.');
  const pods = new KubernetesSource({ access, nodeName: kubernetesNode, interfaceOf: ({ uid }) => (node === undefined ? '' : podInterface(uid, node)), log });
  return { source: new CombinedSource([file, units, pods], log), run: (stop) => pods.run(stop) };
}
