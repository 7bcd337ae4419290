import { columnsOf, DEFAULT_FLOW_PRIVACY, type FlowPrivacy, type FlowRecord } from '@palisade/flow';
import { parseTenantId } from '@palisade/tenancy';
import { describe, expect, it } from 'vitest';
import { CachedFlowPrivacy, type FlowPrivacySource } from './flow-privacy.ts';
import type { FlowSink, SentFlowBatch } from './flow-store.ts';
import { IngestFlowBatch } from './ingest-flow-batch.ts';

const ONE = parseTenantId('00000000-0000-7000-8000-000000000001');
const OTHER = parseTenantId('00000000-0000-7000-8000-000000000002');
const flow: FlowRecord = {
  event: 'l7', source: { address: '10.0.0.1', port: 1, identity: 1, labels: [] }, destination: { address: '10.0.0.2', port: 2, identity: 2, labels: [] }, protocol: 6, direction: 'egress', node: 'n',
  verdict: 'forwarded', policies: [], isReply: false, packets: 1, bytes: 1, replyPackets: 0, replyBytes: 0, firstSeenUs: 1, lastSeenUs: 1, tcpFlags: 0, generation: '', policyRevision: 0, identityRevision: 0, origin: 'ebpf', weight: 1,
  http: { method: 'GET', path: '/a?token=x' },
};

function sent(tenantId: typeof ONE): SentFlowBatch {
  return { sender: { tenantId, clusterId: 'c', nodeId: 'n' }, batch: { bootId: 'b', seq: 1, windowStartUs: 1, windowEndUs: 1, account: { seen: 1, exported: 1, sampled: 0, dropped: {} }, columns: columnsOf([flow]) } };
}

/** The path that reaches the store. */
async function storedPath(privacy: FlowPrivacySource | undefined, tenantId = ONE): Promise<string | undefined> {
  const paths: (string | undefined)[] = [];
  const sink: FlowSink = { append: (batches) => Promise.resolve(batches.map(({ batch }) => ({ kind: 'stored' as const, rows: paths.push(batch.columns.httpRequests[0]?.path) }))) };
  await new IngestFlowBatch({ sink, ...(privacy === undefined ? {} : { privacy }) }).execute(sent(tenantId));
  return paths[0];
}

class Settings implements FlowPrivacySource {
  asked = 0;
  readonly #of: (tenantId: string) => FlowPrivacy;
  constructor(of: (tenantId: string) => FlowPrivacy) {
    this.#of = of;
  }
  async of(tenantId: string): Promise<FlowPrivacy> {
    this.asked++;
    return Promise.resolve(this.#of(tenantId));
  }
}

const KEEP: FlowPrivacy = { keepQueryStrings: true, keepProcessArguments: true };

describe('what is stored of a flow', () => {
  it('is redacted unless its tenant keeps it', async () => {
    expect(await storedPath(undefined)).toBe('/a');
    const source = new Settings((tenantId) => (tenantId === ONE ? KEEP : DEFAULT_FLOW_PRIVACY));
    expect(await storedPath(source)).toBe('/a?token=x');
    expect(await storedPath(source, OTHER)).toBe('/a');
  });

  it('is redacted while nobody can say what the tenant wants', async () => {
    const broken = new Settings(() => { throw new Error('no database'); });
    expect(await storedPath(new CachedFlowPrivacy(broken))).toBe('/a');
    expect(await storedPath(broken)).toBe('/a');
  });

  it('follows a change within seconds, asking once in between', async () => {
    let now = 0;
    let setting = DEFAULT_FLOW_PRIVACY;
    const source = new Settings(() => setting);
    const cached = new CachedFlowPrivacy(source, () => now);
    expect(await storedPath(cached)).toBe('/a');
    setting = KEEP;
    expect(await storedPath(cached)).toBe('/a');
    expect(source.asked).toBe(1);
    now = 5_001;
    expect(await storedPath(cached)).toBe('/a?token=x');
  });
});
