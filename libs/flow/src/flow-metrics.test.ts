import { describe, expect, it } from 'vitest';
import { LATENCY_BUCKETS, latencyBucket, type FlowEdge } from './flow-edge.ts';
import { hubbleMetrics } from './flow-metrics.ts';

function edge(over: Partial<FlowEdge>): FlowEdge {
  return {
    source: { identity: 1, labels: [], namespace: 'shop', workload: 'a' }, destination: { identity: 2, labels: [], namespace: 'shop', workload: 'b"x' }, port: 80, protocol: 6, verdict: 'forwarded',
    policies: [], flows: 3, packets: 1, bytes: 1, replyPackets: 0, replyBytes: 0, ...over,
  };
}

describe('Hubble metrics', () => {
  it('count flows and drops under Hubble names and labels', () => {
    const text = hubbleMetrics([edge({}), edge({ verdict: 'dropped', dropReason: 'policy-denied', flows: 2 })]);
    expect(text).toContain('hubble_flows_processed_total{protocol="TCP",subtype="",type="Trace",verdict="FORWARDED"} 3\n');
    expect(text).toContain('hubble_drop_total{protocol="TCP",reason="POLICY_DENIED"} 2\n');
    expect(text).toContain('hubble_port_distribution_total{port="80",protocol="TCP"} 5\n');
    expect(text).toContain('destination="shop/b\\"x"');
  });

  it('fold what is beyond the cap into one series, so that nothing is lost from the sum', () => {
    const text = hubbleMetrics(Array.from({ length: 30 }, (_, port) => edge({ port, flows: 1 })), 10);
    const values = [...text.matchAll(/^hubble_port_distribution_total\{.*\} (\d+)$/gm)].map((match) => Number(match[1]));
    expect(values).toHaveLength(11);
    expect(values.reduce((sum, value) => sum + value, 0)).toBe(30);
    expect(text).toContain('hubble_port_distribution_total{port="other",protocol="other"} 20');
  });

  it('give HTTP latency as a cumulative histogram', () => {
    const latency = new Array<number>(LATENCY_BUCKETS).fill(0);
    latency[latencyBucket(3_000)] = 9;
    latency[latencyBucket(60_000_000)] = 1;
    const text = hubbleMetrics([edge({ http: { requests: 10, errors: 1, latency } })]);
    expect(text).toContain('hubble_http_request_duration_seconds_bucket{le="0.005"} 9\n');
    expect(text).toContain('hubble_http_request_duration_seconds_bucket{le="+Inf"} 10\n');
    expect(text).toContain('hubble_http_requests_total{destination="shop/b\\"x",status="5xx"} 1\n');
  });
});
