// SPDX-License-Identifier: Apache-2.0
// A ring buffer's consumer: records are copied into one buffer of the caller, so a batch costs one call.
#include "arguments.h"
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

struct ring {
	uint64_t *consumer;
	const uint64_t *producer;
	const uint8_t *data;
	size_t size;
	size_t page;
};

static void ring_free(napi_env env, void *data, void *hint)
{
	struct ring *ring = data;

	(void)env;
	(void)hint;
	if (ring->consumer)
		munmap(ring->consumer, ring->page);
	if (ring->producer)
		munmap((void *)ring->producer, ring->page + ring->size);
	free(ring);
}

// ringOpen(mapFd, size) → ring; `size` is the map's maxEntries
static napi_value ring_open(napi_env env, napi_callback_info info)
{
	napi_value a[2], out;
	int64_t fd, size;
	struct ring *ring;
	void *consumer, *producer;

	if (!read_arguments(env, info, 2, a) || !read_int(env, a[0], &fd) || !read_int(env, a[1], &size))
		return NULL;
	ring = calloc(1, sizeof(*ring));
	ring->size = size;
	ring->page = sysconf(_SC_PAGESIZE);
	consumer = mmap(NULL, ring->page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	// The kernel offers the data twice in a row, so that no record is cut; mapped once it counts half as resident.
	producer = mmap(NULL, ring->page + ring->size, PROT_READ, MAP_SHARED, fd, ring->page);
	ring->consumer = consumer == MAP_FAILED ? NULL : consumer;
	ring->producer = producer == MAP_FAILED ? NULL : producer;
	if (!ring->consumer || !ring->producer) {
		int failed = errno;

		ring_free(env, ring, NULL);
		return raise_errno(env, "mmap", failed, "ring buffer");
	}
	ring->data = (const uint8_t *)ring->producer + ring->page;
	napi_create_external(env, ring, ring_free, NULL, &out);
	return out;
}

// Bytes of the ring from position `at`, which may lie on both sides of its end.
static void ring_copy(const struct ring *ring, uint64_t at, uint8_t *to, size_t size)
{
	size_t start = at & (ring->size - 1);
	size_t first = ring->size - start < size ? ring->size - start : size;

	memcpy(to, ring->data + start, first);
	memcpy(to + first, ring->data, size - first);
}

// ringDrain(ring, buffer, recordSize) → number of records copied; records of another size are cut or zero-padded
static napi_value ring_drain(napi_env env, napi_callback_info info)
{
	napi_value a[3];
	struct ring *ring;
	struct bytes out;
	int64_t size;
	size_t count = 0;
	uint64_t at, end;

	if (!read_arguments(env, info, 3, a) || napi_get_value_external(env, a[0], (void **)&ring) != napi_ok ||
	    !read_bytes(env, a[1], &out) || !read_int(env, a[2], &size) || size <= 0)
		return NULL;
	at = __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
	end = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
	while (at < end && (count + 1) * size <= out.size) {
		const uint8_t *record = ring->data + (at & (ring->size - 1));
		uint32_t header = __atomic_load_n((const uint32_t *)record, __ATOMIC_ACQUIRE);
		uint32_t length = header & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);

		if (header & BPF_RINGBUF_BUSY_BIT)
			break; /* its program is still writing */
		if (!(header & BPF_RINGBUF_DISCARD_BIT)) {
			uint32_t copied = length < size ? length : size;

			ring_copy(ring, at + BPF_RINGBUF_HDR_SZ, out.data + count * size, copied);
			memset(out.data + count * size + copied, 0, size - copied);
			count++;
		}
		at += (length + BPF_RINGBUF_HDR_SZ + 7) & ~7ULL;
	}
	__atomic_store_n(ring->consumer, at, __ATOMIC_RELEASE);
	return make_int(env, count);
}

void define_ring(napi_env env, napi_value exports)
{
	define(env, exports, "ringOpen", ring_open);
	define(env, exports, "ringDrain", ring_drain);
}
