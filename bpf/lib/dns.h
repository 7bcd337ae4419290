/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Addresses of DNS names, learned from answers before they pass on (RFC 1035 §4.1). Only answers to an own, outstanding
 * question to a configured resolver count: same addresses, ports, identifier, type and name. What cannot be read here
 * (TCP, more than DNS_BYTES, truncated, unusual) teaches nothing here: connections to those addresses stay denied, those of
 * answers over TCP until the agent has read them (apps/agent/src/enforcer/name-learning.ts).
 */
#ifndef PALISADE_DNS_H
#define PALISADE_DNS_H

#define DNS_BYTES 1232         /* what resolvers send at most in a datagram that is not to be cut (DNS flag day 2020) */
#define DNS_QUESTION_BYTES 512 /* a message up to the end of its question, and any question on its own */
#define DNS_HEADER 12
#define DNS_MAX_LABELS 64
#define DNS_MAX_ANSWERS 76 /* addresses that fit */
#define DNS_QUERY_LIFETIME_NS (10 * SECONDS)
#define DNS_MAX_TTL_SECONDS 86400
/* A name with a TTL of zero is still connected to after its answer. */
#define DNS_GRACE_NS (2 * SECONDS)

struct dns_scratch {
	__u8 data[DNS_BYTES];
	__u8 label_starts[DNS_QUESTION_BYTES];
	__u32 size;
	__u32 at;    /* forward: the next label; answers: the next record */
	__u32 end;   /* the question name's closing zero */
	__u32 labels;
	__u32 depth; /* labels in `suffix` */
	__u32 odd;   /* characters that no pattern matches */
	__u32 failed;
	__u32 network;
	__u32 busy;
	__u64 selectors;
	__u64 starred; /* those of them that leave labels open */
	__u64 any;     /* those that match every name */
	__u64 now_ns;
	struct name_key suffix;
	__u32 suffix_length;
	struct dns_query_key key;
};
/* A row for each kind of program that may interrupt another. */
#define DNS_SCRATCH_INTERFACE 0
#define DNS_SCRATCH_HOST 1
#define DNS_SCRATCH_NETFILTER 2
MAP(dns_scratches, BPF_MAP_TYPE_PERCPU_ARRAY, 3, __u32, struct dns_scratch);

/* The row, taken: a program of the same kind that was preempted on this processor may still hold it. Then nothing is read. */
static __always_inline struct dns_scratch *dns_take(__u32 row)
{
	struct dns_scratch *d = bpf_map_lookup_elem(&dns_scratches, &row);

	return d && !__sync_lock_test_and_set(&d->busy, 1) ? d : 0;
}

static __always_inline void dns_release(struct dns_scratch *d)
{
	__sync_lock_test_and_set(&d->busy, 0);
}

static long dns_label(__u32 i, struct dns_scratch **context)
{
	struct dns_scratch *d = *context;
	__u32 at = d->at;
	__u8 length;

	(void)i;
	if (at >= d->size || at >= DNS_QUESTION_BYTES) {
		d->failed = 1;
		return 1;
	}
	length = d->data[at];
	if (!length) {
		d->end = at;
		return 1;
	}
	if (length > 63) {
		d->failed = 1;
		return 1;
	}
	d->label_starts[at] = 1;
	d->labels++;
	d->at = at + 1 + length;
	return 0;
}

static __always_inline void dns_match(struct dns_scratch *d, __u32 kind)
{
	__u64 *bits;

	d->suffix.kind = kind;
	bits = bpf_map_lookup_elem(&names, &d->suffix);
	if (bits && kind == NAME_EXACT)
		d->selectors |= *bits;
	else if (bits)
		d->starred |= *bits;
}

/* From the name's last byte to its first: at each label's start the suffix from there on is complete. */
static long dns_suffixes(__u32 i, struct dns_scratch **context)
{
	struct dns_scratch *d = *context;
	__u32 at = d->end - 1 - i, length;
	__u8 byte;

	if (at < DNS_HEADER || at >= DNS_QUESTION_BYTES)
		return 1;
	byte = d->data[at];
	if (d->label_starts[at]) {
		__u32 before;

		d->depth++;
		before = d->labels - d->depth;
		if (!before)
			dns_match(d, NAME_EXACT);
		else {
			dns_match(d, NAME_SOME_LABELS);
			if (before == 1)
				dns_match(d, NAME_ONE_LABEL);
		}
		byte = '.';
		if (!before)
			return 1;
	} else if (byte >= 'A' && byte <= 'Z') {
		byte += 'a' - 'A';
	} else if (byte == '.' || !byte) {
		/* Inside a label: another name than the one with the same text. */
		d->failed = 1;
		return 1;
	} else if (!((byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' || byte == '_')) {
		d->odd = 1;
		d->starred = 0; /* this label is one that they leave open */
	}
	length = d->suffix_length;
	if (length >= NAME_BYTES) {
		d->failed = 1;
		return 1;
	}
	d->suffix.reversed[length] = byte;
	d->suffix_length = length + 1;
	return 0;
}

/* Reads the one question: its name, matching selectors, and where the records after it begin. */
static __always_inline int dns_question(struct dns_scratch *d)
{
	struct dns_scratch *context = d;
	__u64 *any;

	__builtin_memset(d->label_starts, 0, sizeof(d->label_starts));
	__builtin_memset(&d->suffix, 0, sizeof(d->suffix));
	d->at = DNS_HEADER;
	d->labels = d->depth = d->odd = d->failed = d->end = d->suffix_length = 0;
	d->selectors = d->starred = 0;
	if (d->data[4] || d->data[5] != 1)
		return -1;
	bpf_loop(DNS_MAX_LABELS, dns_label, &context, 0);
	if (d->failed || !d->end || !d->labels || d->end + 5 > d->size)
		return -1;
	d->suffix.kind = NAME_ANY;
	any = bpf_map_lookup_elem(&names, &d->suffix);
	d->any = any ? *any : 0;
	bpf_loop(NAME_BYTES, dns_suffixes, &context, 0);
	if (d->failed || d->depth != d->labels)
		return -1;
	d->selectors |= d->starred;
	if (!d->odd)
		d->selectors |= d->any;
	return 0;
}

static __always_inline void dns_bind(struct dns_scratch *d, struct mapped_address *address, __u32 ttl)
{
	struct learned_address *known = bpf_map_lookup_elem(&learned, address);
	struct learned_address value = { .selectors = d->selectors };

	if (ttl > DNS_MAX_TTL_SECONDS)
		ttl = DNS_MAX_TTL_SECONDS;
	value.expires_ns = d->now_ns + ttl * SECONDS + DNS_GRACE_NS;
	if (known && known->expires_ns >= d->now_ns) {
		value.selectors |= known->selectors;
		if (known->expires_ns > value.expires_ns)
			value.expires_ns = known->expires_ns;
	}
	bpf_map_update_elem(&learned, address, &value, BPF_ANY);
}

static long dns_answer(__u32 i, struct dns_scratch **context)
{
	struct dns_scratch *d = *context;
	struct mapped_address address = { .network = d->network };
	__u32 at = d->at, type, length, ttl;

	(void)i;
	/* The owner: a pointer, or labels that may end in one. CNAME chains need no following: every address of the answer
	   belongs to the name that was asked for. */
	for (int step = 0; step < 16; step++) {
		if (at >= DNS_BYTES - 16 || at >= d->size)
			return 1;
		if (d->data[at] >= 0xc0) {
			at += 2;
			goto fixed;
		}
		if (!d->data[at]) {
			at += 1;
			goto fixed;
		}
		at += d->data[at] + 1;
	}
	return 1;
fixed:
	if (at > DNS_BYTES - 28 || at + 10 > d->size)
		return 1;
	type = d->data[at] << 8 | d->data[at + 1];
	ttl = (__u32)d->data[at + 4] << 24 | d->data[at + 5] << 16 | d->data[at + 6] << 8 | d->data[at + 7];
	length = d->data[at + 8] << 8 | d->data[at + 9];
	at += 10;
	if (at + length > d->size)
		return 1;
	if (type == 1 && length == 4) {
		address.address_be[2] = bpf_htonl(0xffff);
		__builtin_memcpy(&address.address_be[3], d->data + at, 4);
		dns_bind(d, &address, ttl);
	} else if (type == 28 && length == 16) {
		__builtin_memcpy(address.address_be, d->data + at, 16);
		dns_bind(d, &address, ttl);
	}
	d->at = at + length;
	return 0;
}

/* What the datagram in `d` teaches. */
static __always_inline void dns_read(struct dns_scratch *d, struct scene *s, int is_query)
{
	struct dns_query *asked;
	__u32 answers;

	if (dns_question(d) || d->end > DNS_QUESTION_BYTES - 8)
		return;
	d->key.slot = s->endpoint.slot;
	__builtin_memcpy(&d->key.id_be, d->data, 2);
	__builtin_memcpy(&d->key.type_be, d->data + d->end + 1, 2);
	__builtin_memcpy(d->key.reversed, d->suffix.reversed, NAME_BYTES);
	if (is_query) {
		struct dns_query query = { .selectors = d->selectors, .asked_ns = s->now_ns };

		if (query.selectors && !(d->data[2] & 0x80))
			bpf_map_update_elem(&dns_queries, &d->key, &query, BPF_ANY);
		return;
	}
	asked = bpf_map_lookup_elem(&dns_queries, &d->key);
	if (!asked || s->now_ns - asked->asked_ns > DNS_QUERY_LIFETIME_NS)
		return;
	/* An answer (QR), not truncated (TC), without error (RCODE). */
	if (!(d->data[2] & 0x80) || d->data[2] & 0x02 || d->data[3] & 0x0f)
		return;
	d->now_ns = s->now_ns;
	d->network = s->endpoint.network;
	d->selectors = asked->selectors;
	d->at = d->end + 5;
	bpf_map_delete_elem(&dns_queries, &d->key);
	answers = (__u32)d->data[6] << 8 | d->data[7];
	bpf_loop(answers < DNS_MAX_ANSWERS ? answers : DNS_MAX_ANSWERS, dns_answer, &d, 0);
}

/* A query that leaves the endpoint is noted, its answer is learned from. */
__noinline int dns_learn(struct __sk_buff *skb, struct scene *s, __u32 row)
{
	struct mapped_address client, resolver;
	struct dns_scratch *d;
	__u32 size;
	int v6, is_query;

	if (!s)
		return 0;
	is_query = s->direction == DIRECTION_EGRESS && s->packet.destination_port_be == bpf_htons(DNS_PORT);
	if (!is_query && (s->direction != DIRECTION_INGRESS || s->packet.source_port_be != bpf_htons(DNS_PORT)))
		return 0;
	v6 = s->packet.family == 6;
	map_address(&client, s->endpoint.network, is_query ? s->packet.source : s->packet.destination, v6);
	map_address(&resolver, s->endpoint.network, is_query ? s->packet.destination : s->packet.source, v6);
	if (!bpf_map_lookup_elem(&resolvers, &resolver))
		return 0;
	size = s->packet.l4_length - 8;
	if (s->packet.l4_length < 8 + DNS_HEADER + 5 || size > DNS_BYTES || size < 1)
		return 0;
	d = dns_take(row);
	if (!d)
		return 0;
	if (!bpf_skb_load_bytes(skb, s->packet.l4_offset + 8, d->data, size)) {
		d->size = size;
		d->key.client = client;
		d->key.resolver = resolver;
		d->key.client_port_be = is_query ? s->packet.source_port_be : s->packet.destination_port_be;
		dns_read(d, s, is_query);
	}
	dns_release(d);
	return 0;
}

#endif
