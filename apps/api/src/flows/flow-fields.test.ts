import { describe, expect, it } from 'vitest';
import { fieldsParameter } from './flow-fields.ts';
import type { FlowView } from './flow-view.ts';

const FLOW: FlowView = {
  id: 'f', clusterId: 'c', event: 'dropped', verdict: 'dropped', dropReason: 'policy-denied', direction: 'egress', protocol: 'TCP', node: 'n',
  source: { address: '10.0.0.1', port: 4, identity: 1, labels: ['a=b'], namespace: 'shop' }, destination: { address: '10.0.0.2', port: 5, identity: 2, labels: [] },
  policies: [{ kind: 'K', name: 'p', revision: 1, direction: 'egress' }, { kind: 'K', name: 'q', revision: 2, direction: 'egress', index: 3 }], isReply: false, packets: 1, bytes: 2, replyPackets: 0, replyBytes: 0,
  firstSeen: 't', lastSeen: 't', tcpFlags: 0, generation: '1', policyRevision: 1, identityRevision: 1, origin: 'ebpf', weight: 1,
};
const keep = (fields: string | string[]) => fieldsParameter.parse(fields)?.(FLOW);

describe('fields of a flow', () => {
  it('keep what is named, also inside ends and lists', () => {
    expect(keep('id,source.namespace, source.port,destination')).toEqual({ id: 'f', source: { namespace: 'shop', port: 4 }, destination: FLOW.destination });
    expect(keep(['policies.name', 'verdict'])).toEqual({ policies: [{ name: 'p' }, { name: 'q' }], verdict: 'dropped' });
  });

  it('leave out what this flow does not have', () => {
    expect(keep('http.status,rttUs,destination.namespace,weight')).toEqual({ destination: {}, weight: 1 });
  });

  it.each([['source,source.port'], ['source.port,source']])('keep the whole where a part of it is named too: %s', (fields) => {
    expect(keep(fields)).toEqual({ source: FLOW.source });
  });

  it.each(['verdikt', '', 'id,', 'source.', 'source.port.x', 'constructor', 'source.__proto__', Array.from({ length: 51 }, () => 'id').join(',')])('refuse %s', (fields) => {
    expect(fieldsParameter.safeParse(fields).success).toBe(false);
  });
});
