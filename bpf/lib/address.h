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

#endif
