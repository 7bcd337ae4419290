import { describe, expect, it } from 'vitest';
import { AUDIT_EVENT_VERSION, GENESIS_HASH, type AuditEvent } from './audit-event.ts';
import { CSV_HEADER, csvLine } from './csv.ts';
import { toOcsf } from './ocsf.ts';

const event: AuditEvent = {
  version: AUDIT_EVENT_VERSION,
  id: 'e-1',
  tenantId: 't-1',
  seq: 7,
  time: '2026-01-02T03:04:05.678Z',
  action: 'api-token.created',
  outcome: 'success',
  actor: { kind: 'token', id: 'a-1', name: '=HYPERLINK("http://evil")' },
  target: { kind: 'api-token', id: 'x-1', name: 'ci, "nightly"' },
  summary: '@SUM(1)',
  requestId: 'r-1',
  sourceAddress: '192.0.2.1',
  details: { publicId: 'abc' },
  previousHash: GENESIS_HASH,
};

describe('the CSV encoder', () => {
  it('quotes what needs it and disarms what a spreadsheet would run', () => {
    expect(csvLine(event)).toBe(
      `7,2026-01-02T03:04:05.678Z,api-token.created,success,token,a-1,"'=HYPERLINK(""http://evil"")",api-token,x-1,"ci, ""nightly""",'@SUM(1),r-1,192.0.2.1,e-1,${GENESIS_HASH}\r\n`,
    );
  });

  it('has as many columns as its header', () => {
    expect(CSV_HEADER.split(',').length).toBe(15);
  });
});

describe('the OCSF encoder', () => {
  it('writes API Activity with the type that follows from class and activity', () => {
    expect(toOcsf(event)).toMatchObject({
      class_uid: 6003,
      category_uid: 6,
      activity_id: 1,
      type_uid: 600301,
      status_id: 1,
      time: 1767323045678,
      metadata: { version: '1.3.0', uid: 'e-1', sequence: 7, correlation_uid: 'r-1' },
      actor: { user: { uid: 'a-1' } },
      src_endpoint: { ip: '192.0.2.1' },
    });
    expect(toOcsf({ ...event, action: 'access.denied', outcome: 'denied' })).toMatchObject({ activity_id: 99, type_uid: 600399, status_id: 2 });
  });
});
