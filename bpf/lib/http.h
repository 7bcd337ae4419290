/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * What HTTP/1.x connections say (RFC 9112), for people to see: nothing is decided here. A request is read where a TCP
 * segment begins with it and its request line is complete in the first HTTP_BYTES; the answer's status line ends the
 * exchange. Requests that are cut, pipelined or longer are counted as unparsed, never guessed. TLS and HTTP/2 are
 * recognised by their first bytes. A connection that begins with none of these is not looked at again.
 */
#ifndef PALISADE_HTTP_H
#define PALISADE_HTTP_H

#define HTTP_BYTES 512

struct http_request {
	__u64 started_ns;
	__u32 sequence; /* of the request's segment; what is not after it is a retransmission */
	__u32 rule_id; /* the soft rule that let it pass; 0: the connection's */
	__u8 method;
	__u8 path_length;
	__u8 host_length;
	__u8 flags;
	__u8 path[HTTP_PATH_BYTES];
	__u8 host[HTTP_HOST_BYTES];
};

struct http_scratch {
	__u8 data[HTTP_BYTES];
	struct http_request request;
	__u32 size;
	__u32 at;       /* scan position */
	__u32 found;    /* the scan's end was reached */
	__u32 query;    /* inside the query string */
	__u32 matched;  /* bytes of "host:" that the line has matched; 255: another header */
	__u32 line_empty;
};
MAP(http_scratches, BPF_MAP_TYPE_PERCPU_ARRAY, 1, __u32, struct http_scratch);
/* Requests that wait for their answer. The least recently used leave first; their answer is then counted as unparsed. */
MAP(http_requests, BPF_MAP_TYPE_LRU_HASH, 32768, struct connection_key6, struct http_request);
MAP(http_counters, BPF_MAP_TYPE_PERCPU_ARRAY, 1, __u32, struct http_counters);
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} http_events SEC(".maps");

#define WORD(a, b, c, d) ((__u32)(a) | (__u32)(b) << 8 | (__u32)(c) << 16 | (__u32)(d) << 24)

/* The registered methods of RFC 9110 §9.3 and RFC 5789 by their first four bytes. Returns HTTP_METHOD_…, 0: none. */
static __always_inline __u32 http_method(const __u8 *data, __u32 *length)
{
	switch (*(const __u32 *)data) {
	case WORD('G', 'E', 'T', ' '):
		*length = 4;
		return HTTP_METHOD_GET;
	case WORD('H', 'E', 'A', 'D'):
		*length = 5;
		return data[4] == ' ' ? HTTP_METHOD_HEAD : 0;
	case WORD('P', 'O', 'S', 'T'):
		*length = 5;
		return data[4] == ' ' ? HTTP_METHOD_POST : 0;
	case WORD('P', 'U', 'T', ' '):
		*length = 4;
		return HTTP_METHOD_PUT;
	case WORD('D', 'E', 'L', 'E'):
		*length = 7;
		return data[4] == 'T' && data[5] == 'E' && data[6] == ' ' ? HTTP_METHOD_DELETE : 0;
	case WORD('P', 'A', 'T', 'C'):
		*length = 6;
		return data[4] == 'H' && data[5] == ' ' ? HTTP_METHOD_PATCH : 0;
	case WORD('O', 'P', 'T', 'I'):
		*length = 8;
		return data[4] == 'O' && data[5] == 'N' && data[6] == 'S' && data[7] == ' ' ? HTTP_METHOD_OPTIONS : 0;
	case WORD('C', 'O', 'N', 'N'):
		*length = 8;
		return data[4] == 'E' && data[5] == 'C' && data[6] == 'T' && data[7] == ' ' ? HTTP_METHOD_CONNECT : 0;
	case WORD('T', 'R', 'A', 'C'):
		*length = 6;
		return data[4] == 'E' && data[5] == ' ' ? HTTP_METHOD_TRACE : 0;
	}
	return 0;
}

/* The request target up to its space; what follows a question mark is skipped, not kept. */
static long http_target_byte(__u32 i, struct http_scratch **context)
{
	struct http_scratch *d = *context;
	__u32 at = d->at, kept;
	__u8 byte;

	(void)i;
	if (at >= d->size || at >= HTTP_BYTES)
		return 1;
	byte = d->data[at];
	if (byte == ' ') {
		d->found = 1;
		return 1;
	}
	if (byte < 0x21 || byte > 0x7e)
		return 1;
	d->at = at + 1;
	if (byte == '?')
		d->query = 1;
	if (d->query)
		return 0;
	kept = d->request.path_length;
	if (kept >= HTTP_PATH_BYTES) {
		d->request.flags |= HTTP_PATH_CUT;
		return 0;
	}
	d->request.path[kept] = byte;
	d->request.path_length = kept + 1;
	return 0;
}

/* "host:", first character lowest. */
#define HTTP_HOST_NAME 0x3a74736f68ULL

/* Header lines up to the value of Host. */
static long http_host_byte(__u32 i, struct http_scratch **context)
{
	struct http_scratch *d = *context;
	__u32 at = d->at, kept;
	__u8 byte, lower;

	(void)i;
	if (at >= d->size || at >= HTTP_BYTES)
		return 1;
	byte = d->data[at];
	d->at = at + 1;
	if (d->matched == 5) {
		if (byte == '\r' || byte == '\n')
			return 1;
		kept = d->request.host_length;
		if ((byte == ' ' && !kept) || kept >= HTTP_HOST_BYTES)
			return 0;
		d->request.host[kept] = byte < 0x21 || byte > 0x7e ? '?' : byte;
		d->request.host_length = kept + 1;
		return 0;
	}
	if (byte == '\n') {
		if (d->line_empty)
			return 1; /* the end of the headers */
		d->line_empty = 1;
		d->matched = 0;
		return 0;
	}
	if (byte == '\r')
		return 0;
	d->line_empty = 0;
	lower = byte >= 'A' && byte <= 'Z' ? byte + 32 : byte;
	if (d->matched < 5)
		d->matched = lower == ((HTTP_HOST_NAME >> (d->matched * 8)) & 0xff) ? d->matched + 1 : 255;
	return 0;
}

/* Reads the request that d->data begins with. 0: its request line is complete and well formed. */
static __always_inline int http_read_request(struct http_scratch *d, __u32 method_length)
{
	struct http_scratch *context = d;
	const __u8 *version;

	d->at = method_length;
	d->found = d->query = 0;
	d->request.path_length = d->request.host_length = d->request.flags = 0;
	bpf_loop(HTTP_BYTES, http_target_byte, &context, 0);
	if (!d->found || d->at == method_length || d->at > HTTP_BYTES - 16 || d->at + 11 > d->size)
		return -1;
	version = d->data + d->at + 1;
	if (version[0] != 'H' || version[1] != 'T' || version[2] != 'T' || version[3] != 'P' || version[4] != '/' || version[5] != '1' ||
	    version[6] != '.' || (version[7] != '0' && version[7] != '1') || version[8] != '\r' || version[9] != '\n')
		return -1;
	d->at += 11;
	d->matched = 0;
	d->line_empty = 1;
	bpf_loop(HTTP_BYTES, http_host_byte, &context, 0);
	return 0;
}

/* Status of the answer that `data` begins with (RFC 9112 §4), 0: it begins with none. */
static __always_inline __u32 http_status(const __u8 *data, __u32 size)
{
	if (size < 12 || *(const __u32 *)data != WORD('H', 'T', 'T', 'P') || data[4] != '/' || data[5] != '1' || data[6] != '.' || data[8] != ' ' ||
	    data[9] < '1' || data[9] > '9' || data[10] < '0' || data[10] > '9' || data[11] < '0' || data[11] > '9')
		return 0;
	return (data[9] - '0') * 100 + (data[10] - '0') * 10 + (data[11] - '0');
}

/* The connection that a packet belongs to, and where its request waits; tables of both families share the second. */
struct http_place {
	union connection_key key;
	struct connection *c;
	struct http_counters *counters;
	__u32 is_reply;
	__u8 verdict;
	__u16 drop_reason;
};

/* `status` 0: the connection ended, or answered something else. */
static __always_inline void http_report(struct scene *s, struct http_place *at, struct http_request *request, __u32 kind, __u32 status)
{
	const struct packet *p = &s->packet;
	struct connection *c = at->c;
	struct http_event *e = bpf_ringbuf_reserve(&http_events, sizeof(*e), 0);

	if (!e) {
		at->counters->ring_full++;
		return;
	}
	e->time_ns = s->now_ns;
	e->latency_ns = 0;
	__builtin_memcpy(e->source, at->is_reply ? p->destination : p->source, 16);
	__builtin_memcpy(e->destination, at->is_reply ? p->source : p->destination, 16);
	e->source_port = bpf_ntohs(at->is_reply ? p->destination_port_be : p->source_port_be);
	e->destination_port = bpf_ntohs(at->is_reply ? p->source_port_be : p->destination_port_be);
	e->slot = s->endpoint.slot;
	e->status = status;
	e->ifindex = s->ifindex;
	e->peer_identity = c->peer_identity;
	e->rule_id = request && request->rule_id ? request->rule_id : c->rule_id;
	e->generation = c->generation;
	e->kind = kind;
	e->family = p->family;
	e->direction = !!(c->flags & CONNECTION_EGRESS);
	e->verdict = at->verdict;
	e->method = e->path_length = e->host_length = e->flags = 0;
	e->backend_port = 0;
	e->drop_reason = at->drop_reason;
	if (c->flags & CONNECTION_TRANSLATED && c->backend_port) {
		e->flags |= HTTP_TRANSLATED;
		__builtin_memcpy(e->backend, c->backend, 16);
		e->backend_port = c->backend_port;
	} else {
		__builtin_memset(e->backend, 0, sizeof(e->backend));
	}
	if (request) {
		e->latency_ns = status ? bpf_ktime_get_ns() - request->started_ns : 0;
		e->method = request->method;
		e->path_length = request->path_length;
		e->host_length = request->host_length;
		e->flags |= request->flags;
		__builtin_memcpy(e->path, request->path, sizeof(e->path));
		__builtin_memcpy(e->host, request->host, sizeof(e->host));
	} else {
		__builtin_memset(e->path, 0, sizeof(e->path));
		__builtin_memset(e->host, 0, sizeof(e->host));
	}
	bpf_ringbuf_submit(e, bpf_ringbuf_query(&http_events, BPF_RB_AVAIL_DATA) > RING_PRESSURE / 4 ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

/* HTTP_EVENT_TLS: a handshake record with a ClientHello (RFC 8446 §4, §5.1). HTTP_EVENT_HTTP2: the client's preface (RFC 9113 §3.4). */
static __always_inline __u32 http_other_kind(const struct http_scratch *d)
{
	if (d->size >= 6 && d->data[0] == 0x16 && d->data[1] == 3 && d->data[5] == 1)
		return HTTP_EVENT_TLS;
	if (d->size >= 14 && *(const __u32 *)d->data == WORD('P', 'R', 'I', ' ') && *(const __u32 *)(d->data + 4) == WORD('*', ' ', 'H', 'T') &&
	    *(const __u32 *)(d->data + 8) == WORD('T', 'P', '/', '2'))
		return HTTP_EVENT_HTTP2;
	return HTTP_EVENT_EXCHANGE;
}

/* The first bytes of a connection that are no HTTP/1 request. */
static __always_inline void http_classify(struct scene *s, struct http_place *at, const struct http_scratch *d)
{
	struct connection *c = at->c;
	__u32 kind = http_other_kind(d);

	if (kind == HTTP_EVENT_TLS) {
		c->http = HTTP_STATE_TLS;
		at->counters->tls++;
		http_report(s, at, 0, HTTP_EVENT_TLS, 0);
	} else if (kind == HTTP_EVENT_HTTP2) {
		c->http = HTTP_STATE_HTTP2;
		at->counters->http2++;
		http_report(s, at, 0, HTTP_EVENT_HTTP2, 0);
	} else if (d->size < 8 && d->data[0] >= 'A' && d->data[0] <= 'Z') {
		/* Perhaps a method that was cut. */
		at->counters->unparsed++;
		c->http = HTTP_STATE_UNREAD;
	} else {
		c->http = HTTP_STATE_OTHER;
	}
}

static __always_inline void http_forward(struct scene *s, struct http_place *at, struct http_scratch *d, __u32 sequence)
{
	struct http_request *waiting = bpf_map_lookup_elem(&http_requests, &at->key.v6);
	struct connection *c = at->c;
	__u32 length = 0, method = d->size < 8 ? 0 : http_method(d->data, &length);

	if (waiting && (__s32)(sequence - waiting->sequence) <= 0)
		return; /* sent again */
	if (c->http == HTTP_STATE_WAITING || c->http == HTTP_STATE_UNREAD) {
		if (method)
			at->counters->pipelined++; /* or a body that looks like one */
		return;
	}
	if (!method && c->http == HTTP_STATE_UNDECIDED) {
		http_classify(s, at, d);
		return;
	}
	if (!method || http_read_request(d, length)) {
		at->counters->unparsed++;
		c->http = HTTP_STATE_UNREAD;
		return;
	}
	d->request.method = method;
	d->request.sequence = sequence;
	d->request.started_ns = bpf_ktime_get_ns();
	d->request.rule_id = s->soft ? s->soft_rule : 0;
	at->counters->requests++;
	c->http = bpf_map_update_elem(&http_requests, &at->key.v6, &d->request, BPF_ANY) ? HTTP_STATE_UNREAD : HTTP_STATE_WAITING;
}

static __always_inline void http_reply(struct scene *s, struct http_place *at, struct http_scratch *d)
{
	struct connection *c = at->c;
	struct http_request *request;
	__u32 status = http_status(d->data, d->size);

	if (c->http == HTTP_STATE_UNDECIDED) {
		c->http = HTTP_STATE_OTHER; /* the server speaks first */
		return;
	}
	if (c->http == HTTP_STATE_IDLE) {
		/* The rest of an answer; or one to a request that was pipelined behind another. */
		if (status)
			at->counters->unparsed++;
		return;
	}
	if (status >= 100 && status < 200 && status != 101)
		return;
	request = bpf_map_lookup_elem(&http_requests, &at->key.v6);
	if (c->http == HTTP_STATE_WAITING && request) {
		if (!status)
			at->counters->unparsed++;
		http_report(s, at, request, HTTP_EVENT_EXCHANGE, status);
	} else if (!status) {
		return;
	}
	/* After an upgrade or a tunnel the bytes are another protocol's. */
	if (status == 101 || (request && c->http == HTTP_STATE_WAITING && request->method == HTTP_METHOD_CONNECT && status >= 200 && status < 300))
		c->http = HTTP_STATE_OTHER;
	else
		c->http = HTTP_STATE_IDLE;
}

/* A segment with payload, or the end, of a connection that may speak HTTP. Global: verified once. */
__noinline int http_observe(struct __sk_buff *skb, struct scene *s)
{
	struct http_place at = {};
	struct http_scratch *d;
	struct http_request *request;
	__u32 zero = 0, sequence, offset, size, v6;
	int source_low;

	if (!s)
		return 0;
	v6 = s->packet.family == 6;
	d = bpf_map_lookup_elem(&http_scratches, &zero);
	at.counters = bpf_map_lookup_elem(&http_counters, &zero);
	if (!d || !at.counters)
		return 0;
	if (v6)
		source_low = connection_key_of(&s->packet, s->endpoint.slot, 1, &at.key);
	else
		source_low = connection_key_of(&s->packet, s->endpoint.slot, 0, &at.key);
	at.c = v6 ? connection_find(&at.key, 1) : connection_find(&at.key, 0);
	if (!at.c || at.c->verdict == VERDICT_DENY)
		return 0;
	at.verdict = at.c->verdict;
	at.is_reply = source_low != !!(at.c->flags & CONNECTION_FORWARD_FROM_LOW);
	size = s->packet.l4_length - s->packet.l4_header;
	if (size && size < 0x10000) {
		if (size > HTTP_BYTES)
			size = HTTP_BYTES;
		if (at.is_reply && size > 16)
			size = 16; /* a status line's beginning is all that is looked at */
		offset = s->packet.l4_offset + s->packet.l4_header;
		asm volatile("" : "+r"(size)); /* keeps the bound on the register that the helper gets */
		if (size < 1 || size > HTTP_BYTES || bpf_skb_load_bytes(skb, offset, d->data, size) ||
		    bpf_skb_load_bytes(skb, s->packet.l4_offset + 4, &sequence, sizeof(sequence)))
			return 0;
		d->size = size;
		if (at.is_reply)
			http_reply(s, &at, d);
		else
			http_forward(s, &at, d, bpf_ntohl(sequence));
	}
	if (s->packet.tcp_flags & (TCP_FIN | TCP_RST) && at.c->http == HTTP_STATE_WAITING && (at.is_reply || s->packet.tcp_flags & TCP_RST)) {
		request = bpf_map_lookup_elem(&http_requests, &at.key.v6);
		if (request)
			http_report(s, &at, request, HTTP_EVENT_EXCHANGE, 0);
		at.c->http = HTTP_STATE_OTHER;
	}
	return 0;
}

#endif
