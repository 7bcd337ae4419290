/**
 * The agent's working parts as compiled (apps/agent/dist), in a process of their own: the enforcer with endpoints, the flow
 * path to disk, and a channel that acknowledges every batch. No gateway, no trust material. Prints one JSON line.
 *   node agent-process.mjs PIN_ROOT NETWORK_NAMESPACE SPOOL_FOLDER OBJECT SECONDS INTERFACE…
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import '../../apps/agent/dist/agent.js';
import { createKernelEnforcer } from '../../apps/agent/dist/enforcer/kernel-enforcer.js';
import { FlowPipeline } from '../../apps/agent/dist/flows/flow-pipeline.js';
import { decodeFlowBatch, encodeFlowBatchReceipt } from '../../libs/protocol/dist/index.js';

const [pinRoot, networkNamespace, folder, objectPath, seconds, ...interfaces] = process.argv.slice(2);
const bytes = readFileSync(objectPath);
const endpoints = interfaces.map((ifname, at) => ({ key: `pod/bench/${ifname}`, slot: at + 1, attach: { kind: 'interface', ifname }, network: 'default', addresses: [`10.0.0.${at + 1}`] }));
const entries = [{ direction: 'egress', peerClass: 0, protocol: 0, port: 0, portPrefixLength: 0, verdict: 'deny', ruleId: 1 }];
const resolved = {
  node: 'bench', policyRevision: 1, identityRevision: 1, addresses: [], fqdn: { selectors: [], classes: [] }, l7Rules: [], digest: 'bench',
  rules: { 1: { ruleId: 1, kind: 'default-deny', direction: 'egress', policies: [] } },
  endpoints: endpoints.map(({ key }, at) => ({ key, identity: 1000 + at, entries, digest: 'bench' })),
};

const enforcer = createKernelEnforcer({ pinRoot, networkNamespace });
const state = await enforcer.apply({
  contentDigest: 'bench', generation: '1.1', resolved, endpoints,
  programs: [{ name: 'endpoint', sha256: createHash('sha256').update(bytes).digest('hex'), bytes }],
});
const knowledge = { nodeName: 'bench', endpoints, resolved, generation: '1.1' };
const post = async (_path, body) => ({ status: 200, body: encodeFlowBatchReceipt({ ...decodeFlowBatch(body), outcome: 'stored', credit: 4, retryAfterMs: 0, reason: '' }) });
const pipeline = new FlowPipeline({ events: enforcer, knowledge: () => knowledge, folder, channel: { post } });
pipeline.start();
await delay(2_000); // what the start itself costs is not idling
const before = process.cpuUsage();
const start = performance.now();
await delay(Number(seconds) * 1000);
const used = process.cpuUsage(before);
const idlePercent = (used.user + used.system) / 10 / (performance.now() - start);
const resident = Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? NaN) / 1024;
await pipeline.stop();
await enforcer.uninstall();
console.log(JSON.stringify({ protectedEndpoints: state.endpoints.filter((endpoint) => endpoint.protected).length, residentMb: resident, idlePercent }));
