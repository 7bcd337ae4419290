// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * The endpoint programs with one more, for measurements only: every run is a packet of another tuple, so that a run of many
 * (BPF_PROG_TEST_RUN keeps the changed packet between repetitions) meets no connection twice. TCP over IPv4 without options.
 */
#include "../../bpf/programs/endpoint.bpf.c"

#define SOURCE_ADDRESS (sizeof(struct ethhdr) + 12)
#define SOURCE_PORT (sizeof(struct ethhdr) + 20)

/* Counts in the source port, then in the source address, which belongs to the endpoint whatever it is. */
SEC("tc")
int from_endpoint_fresh(struct __sk_buff *skb)
{
	__u8 *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (data + sizeof(struct ethhdr) + 40 > end)
		return TCX_NEXT;
	if (!++data[SOURCE_PORT + 1] && !++data[SOURCE_PORT] && !++data[SOURCE_ADDRESS + 3])
		++data[SOURCE_ADDRESS + 2];
	return at_interface(skb, DIRECTION_EGRESS);
}
