import { describe, expect, it } from 'vitest';
import type { FlowCount } from './flow-count.ts';
import type { FlowEdge } from './flow-edge.ts';
import { hubbleMetrics, type FlowMetricSource } from './flow-metrics.ts';

function edge(over: Partial<FlowEdge>): FlowEdge {
  return {
    source: { identity: 1, labels: [], namespace: 'shop', workload: 'a' }, destination: { identity: 2, labels: [], namespace: 'shop', workload: 'b"x' }, port: 80, protocol: 6, verdict: 'forwarded',
    policies: [], flows: 3, packets: 1, bytes: 1, replyPackets: 0, replyBytes: 0, ...over,
  };
}

function count(over: Partial<FlowCount>): FlowCount {
  return { event: 'new', verdict: 'forwarded', direction: 'egress', protocol: 6, isReply: false, ipv6: false, source: { namespace: 'shop', workload: 'a' }, destination: { namespace: 'data', workload: 'db' }, tcpFlags: 0, flows: 1, latencyUs: 0, ...over };
}

const metrics = (source: Partial<FlowMetricSource>, cap?: number): string => hubbleMetrics({ edges: [], beyondFlows: 0, counts: [], losses: {}, ...source }, cap);
const valueOf = (text: string, series: string): string | undefined => text.split('\n').find((line) => line.startsWith(`${series} `))?.slice(series.length + 1);

describe('Hubble metrics', () => {
  it('count flows and drops under Hubble names and labels', () => {
    const text = metrics({ edges: [edge({}), edge({ verdict: 'dropped', dropReason: 'policy-denied', flows: 2, policies: [{ kind: 'K', name: 'p', revision: 1, direction: 'egress' }] })], beyondFlows: 7 });
    expect(valueOf(text, 'hubble_flows_processed_total{protocol="TCP",subtype="",type="Trace",verdict="FORWARDED"}')).toBe('3');
    expect(valueOf(text, 'hubble_flows_processed_total{protocol="other",subtype="other",type="other",verdict="other"}')).toBe('7');
    expect(valueOf(text, 'hubble_drop_total{protocol="TCP",reason="POLICY_DENIED"}')).toBe('2');
    // Drops reach no port.
    expect(valueOf(text, 'hubble_port_distribution_total{port="80",protocol="TCP"}')).toBe('3');
    expect(valueOf(text, 'hubble_policy_verdicts_total{action="dropped",destination="shop/b\\"x",direction="egress",match="none",source="shop/a"}')).toBe('2');
  });

  it('count flows to the world, and of drops only those by a policy', () => {
    const world = { identity: 2, labels: ['reserved:world'], dnsNames: ['api.example.com'] };
    const text = metrics({
      edges: [
        edge({ destination: world }), edge({ destination: world, verdict: 'dropped', dropReason: 'policy-denied', flows: 2 }),
        edge({ destination: world, verdict: 'dropped', dropReason: 'invalid-packet', flows: 4 }), edge({ source: world }),
      ],
    });
    expect(valueOf(text, 'hubble_flows_to_world_total{protocol="TCP",verdict="FORWARDED"}')).toBe('3');
    expect(valueOf(text, 'hubble_flows_to_world_total{protocol="TCP",verdict="DROPPED"}')).toBe('2');
  });

  it('fold what is beyond the cap into one series, so that nothing is lost from the sum, and say how much', () => {
    const text = metrics({ edges: Array.from({ length: 30 }, (_, port) => edge({ port, flows: 1 })) }, 10);
    const values = [...text.matchAll(/^hubble_port_distribution_total\{.*\} (\d+)$/gm)].map((match) => Number(match[1]));
    expect(values).toHaveLength(11);
    expect(values.reduce((sum, value) => sum + value, 0)).toBe(30);
    expect(valueOf(text, 'hubble_port_distribution_total{port="other",protocol="other"}')).toBe('20');
    expect(valueOf(text, 'palisade_folded_series{metric="hubble_port_distribution_total"}')).toBe('20');
  });

  it('give HTTP latency as a cumulative histogram of each edge, method and reporter, folded over the cap', () => {
    const request = (latency: number, flows: number, latencyUs: number, over: Partial<FlowCount> = {}) => count({ event: 'l7', http: { method: 'GET', status: 200, latency }, flows, latencyUs, ...over });
    const text = metrics({ counts: [request(0, 9, 27_000), request(11, 1, 60_000_000), request(0, 2, 8_000, { http: { method: 'PUT', latency: 0 }, direction: 'ingress' }), count({ event: 'l7', http: { method: 'GET' } })] });
    const gets = (what: string, more = ''): string | undefined => valueOf(text, `hubble_http_request_duration_seconds_${what}{destination="data/db",method="GET",reporter="client",source="shop/a"${more}}`);
    expect([gets('bucket', ',le="0.005"'), gets('bucket', ',le="10"'), gets('bucket', ',le="+Inf"'), gets('count'), gets('sum')]).toEqual(['9', '9', '10', '10', '60.027']);
    expect(valueOf(text, 'hubble_http_request_duration_seconds_sum{destination="data/db",method="PUT",reporter="server",source="shop/a"}')).toBe('0.008');
    const folded = metrics({ counts: ['x', 'y', 'z'].map((workload) => request(3, 10, 300_000, { destination: { namespace: 'n', workload } })) }, 1);
    expect(valueOf(folded, 'hubble_http_request_duration_seconds_count{destination="other",method="other",reporter="other",source="other"}')).toBe('20');
    expect(valueOf(folded, 'hubble_http_request_duration_seconds_sum{destination="other",method="other",reporter="other",source="other"}')).toBe('0.6');
  });

  it('count HTTP requests by method, status and reporter', () => {
    const text = metrics({ counts: [count({ event: 'l7', http: { method: 'GET', status: 200 }, flows: 4 }), count({ event: 'l7', direction: 'ingress', http: { method: 'POST' } })] });
    expect(valueOf(text, 'hubble_http_requests_total{destination="data/db",method="GET",protocol="HTTP/1.1",reporter="client",source="shop/a",status="200"}')).toBe('4');
    expect(valueOf(text, 'hubble_http_requests_total{destination="data/db",method="POST",protocol="HTTP/1.1",reporter="server",source="shop/a",status=""}')).toBe('1');
    expect(valueOf(text, 'hubble_flows_processed_total{protocol="HTTP",subtype="HTTP",type="L7",verdict="FORWARDED"}')).toBe('5');
    // What the first version of Hubble's HTTP metrics has; a request without an answer has no response.
    expect(valueOf(text, 'hubble_http_responses_total{destination="data/db",method="GET",reporter="client",source="shop/a",status="200"}')).toBe('4');
    expect(text).not.toMatch(/^hubble_http_responses_total\{.*method="POST"/m);
  });

  it('count DNS questions, answers and their types', () => {
    const text = metrics({
      counts: [
        count({ event: 'dns', protocol: 17, dns: { rcode: 0, ipv4Answers: 1, ipv6Answers: 2 }, flows: 2 }), count({ event: 'dns', protocol: 17, dns: { rcode: 3, ipv4Answers: 0, ipv6Answers: 0 } }),
        count({ event: 'dns', protocol: 17, verdict: 'dropped', dns: { rcode: 0, ipv4Answers: 0, ipv6Answers: 0 } }),
      ],
    });
    expect(valueOf(text, 'hubble_dns_queries_total{destination="data/db",ips_returned="0",qtypes="A,AAAA",rcode="",source="shop/a"}')).toBe('2');
    expect(valueOf(text, 'hubble_dns_queries_total{destination="data/db",ips_returned="0",qtypes="",rcode="Policy denied",source="shop/a"}')).toBe('1');
    expect(valueOf(text, 'hubble_dns_responses_total{destination="data/db",ips_returned="3",qtypes="A,AAAA",rcode="No Error",source="shop/a"}')).toBe('2');
    expect(valueOf(text, 'hubble_dns_responses_total{destination="data/db",ips_returned="0",qtypes="",rcode="Non-Existent Domain",source="shop/a"}')).toBe('1');
    expect(valueOf(text, 'hubble_dns_response_types_total{destination="data/db",qtypes="A,AAAA",source="shop/a",type="AAAA"}')).toBe('2');
  });

  it('count TCP flags where a connection begins or ends, ICMP types, and losses', () => {
    const text = metrics({
      counts: [
        count({ tcpFlags: 0x02, flows: 5 }), count({ tcpFlags: 0x12, ipv6: true }), count({ event: 'closed', tcpFlags: 0x13, flows: 3 }), count({ event: 'closed', tcpFlags: 0x14 }),
        count({ event: 'dropped', verdict: 'dropped', tcpFlags: 0x02 }), count({ protocol: 1, icmpType: 8, flows: 2 }), count({ protocol: 1, icmpType: 8, event: 'closed' }), count({ protocol: 58, ipv6: true, icmpType: 135 }),
      ],
      losses: { 'ring-full': 4, evicted: 1, 'spool-full': 2, 'not-landed': 9 },
    });
    expect(valueOf(text, 'hubble_tcp_flags_total{family="IPv4",flag="SYN"}')).toBe('5');
    expect(valueOf(text, 'hubble_tcp_flags_total{family="IPv6",flag="SYN-ACK"}')).toBe('1');
    expect(valueOf(text, 'hubble_tcp_flags_total{family="IPv4",flag="FIN"}')).toBe('3');
    expect(valueOf(text, 'hubble_tcp_flags_total{family="IPv4",flag="RST"}')).toBe('1');
    expect(valueOf(text, 'hubble_icmp_total{family="IPv4",type="EchoRequest"}')).toBe('2');
    expect(valueOf(text, 'hubble_icmp_total{family="IPv6",type="NeighborSolicitation"}')).toBe('1');
    expect(valueOf(text, 'hubble_lost_events_total{source="perf_event_ring_buffer"}')).toBe('4');
    expect(valueOf(text, 'hubble_lost_events_total{source="observer_events_queue"}')).toBe('3');
  });
});
