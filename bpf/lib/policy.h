/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* The lookup rule of libs/policy/src/resolution.ts, step by step. */
#ifndef PALISADE_POLICY_H
#define PALISADE_POLICY_H

static __always_inline int policy_try(void *policy, __u32 peer_class, __u8 protocol, __u16 port, __u8 scope, struct policy_entry *out)
{
	struct policy_key key = { .peer_class = peer_class, .port = port, .protocol = protocol, .scope = scope };
	struct policy_entry *found = bpf_map_lookup_elem(policy, &key);

	if (!found)
		return 0;
	*out = *found;
	return 1;
}

static __always_inline int policy_try_peer(void *policy, const struct policy_shape *shape, __u32 peer_class, int direction, __u8 protocol,
					   __u16 port, struct policy_entry *out)
{
	__u32 count = direction ? shape->length_count[1] : shape->length_count[0];

	for (__u32 i = 0; i < 17; i++) {
		__u32 length;

		if (i >= count)
			break;
		length = direction ? shape->lengths[1][i] : shape->lengths[0][i];
		if (policy_try(policy, peer_class, protocol, port & (0xffff0000 >> (length & 31)), POLICY_SCOPE(direction, length), out))
			return 1;
	}
	return policy_try(policy, peer_class, 0, 0, POLICY_SCOPE(direction, 0), out);
}

/* The verdict for a packet of `protocol` to `port`; an endpoint without an entry for it is not restricted. */
static __always_inline void policy_lookup(void *policies_map, void *shapes_map, __u32 row, __u32 peer_class, int direction, __u8 protocol,
					  __u16 port, struct policy_entry *out)
{
	struct policy_shape *shape = bpf_map_lookup_elem(shapes_map, &row);
	void *policy;

	out->verdict = VERDICT_ALLOW;
	out->rule_id = 0;
	out->flags = 0;
	out->l7 = 0;
	if (!shape || !(direction ? shape->isolated[1] : shape->isolated[0]))
		return;
	policy = bpf_map_lookup_elem(policies_map, &row);
	if (!policy)
		return;
	if (peer_class && policy_try_peer(policy, shape, peer_class, direction, protocol, port, out))
		return;
	policy_try_peer(policy, shape, 0, direction, protocol, port, out);
}

#endif
