import { describe, expect, it } from 'vitest';
import { columnsOf } from './flow-batch-builder.ts';
import { DEFAULT_FLOW_PRIVACY, redactColumns, withoutQueryString } from './flow-privacy.ts';
import type { FlowRecord } from './flow-record.ts';
import { flowAt } from './flow-row.ts';

const flow: FlowRecord = {
  event: 'l7', source: { address: '10.0.0.1', port: 1, identity: 1, labels: [] }, destination: { address: '10.0.0.2', port: 2, identity: 2, labels: [] }, protocol: 6, direction: 'egress', node: 'n',
  verdict: 'forwarded', policies: [], isReply: false, packets: 1, bytes: 1, replyPackets: 0, replyBytes: 0, firstSeenUs: 1, lastSeenUs: 1, tcpFlags: 0, generation: '', policyRevision: 0, identityRevision: 0, origin: 'ebpf', weight: 1,
  http: { method: 'GET', path: '/login?token=s3cret#top', status: 200 }, process: { binary: '/bin/curl', pid: 7, uid: 0, arguments: '-u me:s3cret' },
};

describe('redaction', () => {
  it('takes query strings and process arguments out by default, and nothing else', () => {
    const redacted = flowAt(redactColumns(columnsOf([flow]), DEFAULT_FLOW_PRIVACY), 0);
    expect(redacted).toEqual({ ...flow, http: { method: 'GET', path: '/login', status: 200 }, process: { binary: '/bin/curl', pid: 7, uid: 0 } });
  });

  it('keeps each of them where it is allowed', () => {
    expect(flowAt(redactColumns(columnsOf([flow]), { keepQueryStrings: true, keepProcessArguments: false }), 0)).toMatchObject({ http: { path: '/login?token=s3cret#top' }, process: { binary: '/bin/curl' } });
    expect(flowAt(redactColumns(columnsOf([flow]), { keepQueryStrings: false, keepProcessArguments: true }), 0)).toMatchObject({ http: { path: '/login' }, process: { arguments: '-u me:s3cret' } });
  });

  it('gives a batch that has nothing to hide as it is', () => {
    const columns = columnsOf([{ ...flow, http: { method: 'GET', path: '/' }, process: { binary: '/bin/curl', pid: 7, uid: 0 } }]);
    expect(redactColumns(columns, DEFAULT_FLOW_PRIVACY)).toBe(columns);
  });

  it.each([['/a?b=c', '/a'], ['/a#b?c', '/a'], ['?x', ''], ['/a', '/a'], ['', '']])('%s becomes %s', (path, kept) => expect(withoutQueryString(path)).toBe(kept));
});
