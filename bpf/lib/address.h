/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Address → policy class and identity: the exact map first, then the longest prefix. */
#ifndef PALISADE_ADDRESS_H
#define PALISADE_ADDRESS_H

#define IDENTITY_WORLD 2

/* `which`: row of the address maps. Nothing known about the address: class ANY (0) and the world's identity. */
static __always_inline void classify(__u32 which, __u32 network, const __u32 *address, const int v6, struct address_class *out)
{
	struct address_class *found = 0;
	void *map;

	out->peer_class = 0;
	out->identity = IDENTITY_WORLD;
	if (v6) {
		struct address6_key exact = { .network = network };
		struct prefix6_key prefix = { .length = 32 + 128, .network = network };

		__builtin_memcpy(exact.address_be, address, 16);
		__builtin_memcpy(prefix.address_be, address, 16);
		map = bpf_map_lookup_elem(&addresses6, &which);
		if (map)
			found = bpf_map_lookup_elem(map, &exact);
		if (found) {
			*out = *found;
			return;
		}
		map = bpf_map_lookup_elem(&prefixes6, &which);
		if (map)
			found = bpf_map_lookup_elem(map, &prefix);
	} else {
		struct address4_key exact = { .network = network, .address_be = address[0] };
		struct prefix4_key prefix = { .length = 32 + 32, .network = network, .address_be = address[0] };

		map = bpf_map_lookup_elem(&addresses4, &which);
		if (map)
			found = bpf_map_lookup_elem(map, &exact);
		if (found) {
			*out = *found;
			return;
		}
		map = bpf_map_lookup_elem(&prefixes4, &which);
		if (map)
			found = bpf_map_lookup_elem(map, &prefix);
	}
	if (found)
		*out = *found;
}

static __always_inline void map_address(struct mapped_address *to, __u32 network, const __u32 *address, const int v6)
{
	to->network = network;
	to->address_be[0] = v6 ? address[0] : 0;
	to->address_be[1] = v6 ? address[1] : 0;
	to->address_be[2] = v6 ? address[2] : bpf_htonl(0xffff);
	to->address_be[3] = v6 ? address[3] : address[0];
}

/*
 * An outside address that was learned for DNS names takes the class of its selectors. Selectors only ever allow, so a
 * combination without a class of its own falls back to the class of one of them. `lenient`: for connections that exist,
 * an answer that has expired still counts.
 */
static __always_inline void classify_learned(__u32 which, __u32 network, const __u32 *address, const int v6, __u64 now_ns, int lenient,
					     struct address_class *peer)
{
	struct mapped_address key = {};
	struct name_class_key class_key = { .bank = which, .base_class = ALL_CLASSES };
	struct learned_address *found;
	__u64 *class, selectors;

	map_address(&key, network, address, v6);
	found = bpf_map_lookup_elem(&learned, &key);
	if (!found || (!lenient && now_ns > found->expires_ns))
		return;
	class = bpf_map_lookup_elem(&name_classes, &class_key);
	if (!class)
		return;
	selectors = found->selectors & *class;
	if (!selectors)
		return;
	class_key.base_class = peer->peer_class;
	class_key.selectors = selectors;
	class = bpf_map_lookup_elem(&name_classes, &class_key);
	if (!class) {
		for (int i = 0; i < 64 && !class; i++) {
			if (!(selectors & 1ULL << i))
				continue;
			class_key.selectors = 1ULL << i;
			class = bpf_map_lookup_elem(&name_classes, &class_key);
		}
	}
	if (class)
		peer->peer_class = *class;
}

#endif
