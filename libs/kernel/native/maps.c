// SPDX-License-Identifier: Apache-2.0
// Maps: create, look up, change, and move whole maps in batches.
#include "arguments.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <unistd.h>

// The kernel answers with this number where an operation is not implemented; user space headers have no name for it.
#define ENOTSUPP_KERNEL 524

// mapCreate(type, name, keySize, valueSize, maxEntries, flags, innerFd) → fd; innerFd -1 where there is none
static napi_value map_create(napi_env env, napi_callback_info info)
{
	napi_value a[7];
	int64_t type, key, value, entries, flags, inner;
	char name[64];

	if (!read_arguments(env, info, 7, a) || !read_int(env, a[0], &type) || !read_text(env, a[1], name, sizeof(name)) ||
	    !read_int(env, a[2], &key) || !read_int(env, a[3], &value) || !read_int(env, a[4], &entries) ||
	    !read_int(env, a[5], &flags) || !read_int(env, a[6], &inner))
		return NULL;
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = flags, .inner_map_fd = inner < 0 ? 0 : inner);
	int fd = bpf_map_create(type, name, key, value, entries, &options);

	return fd < 0 ? raise_errno(env, "BPF_MAP_CREATE", fd, name) : make_int(env, fd);
}

// mapInfo(fd) → { id, type, keySize, valueSize, maxEntries, flags }
static napi_value map_info(napi_env env, napi_callback_info info)
{
	napi_value a[1], out;
	int64_t fd;
	struct bpf_map_info map = {};
	uint32_t size = sizeof(map);

	if (!read_arguments(env, info, 1, a) || !read_int(env, a[0], &fd))
		return NULL;
	if (bpf_obj_get_info_by_fd(fd, &map, &size))
		return raise_errno(env, "BPF_OBJ_GET_INFO_BY_FD", errno, "map");
	napi_create_object(env, &out);
	set_int(env, out, "id", map.id);
	set_int(env, out, "type", map.type);
	set_int(env, out, "keySize", map.key_size);
	set_int(env, out, "valueSize", map.value_size);
	set_int(env, out, "maxEntries", map.max_entries);
	set_int(env, out, "flags", map.map_flags);
	return out;
}

// mapLookup(fd, key, valueSize) → Uint8Array | undefined; valueSize counts all processors of a per-CPU map
static napi_value map_lookup(napi_env env, napi_callback_info info)
{
	napi_value a[3], out;
	int64_t fd, size;
	struct bytes key;
	uint8_t *value;

	if (!read_arguments(env, info, 3, a) || !read_int(env, a[0], &fd) || !read_bytes(env, a[1], &key) || !read_int(env, a[2], &size))
		return NULL;
	out = make_bytes(env, size, &value);
	if (!bpf_map_lookup_elem(fd, key.data, value))
		return out;
	if (errno == ENOENT)
		return NULL;
	return raise_errno(env, "BPF_MAP_LOOKUP_ELEM", errno, NULL);
}

// mapUpdate(fd, key, value, flags)
static napi_value map_update(napi_env env, napi_callback_info info)
{
	napi_value a[4];
	int64_t fd, flags;
	struct bytes key, value;

	if (!read_arguments(env, info, 4, a) || !read_int(env, a[0], &fd) || !read_bytes(env, a[1], &key) ||
	    !read_bytes(env, a[2], &value) || !read_int(env, a[3], &flags))
		return NULL;
	if (bpf_map_update_elem(fd, key.data, value.data, flags))
		return raise_errno(env, "BPF_MAP_UPDATE_ELEM", errno, NULL);
	return NULL;
}

// mapDelete(fd, key) → whether the key was there
static napi_value map_delete(napi_env env, napi_callback_info info)
{
	napi_value a[2], out;
	int64_t fd;
	struct bytes key;
	int failed;

	if (!read_arguments(env, info, 2, a) || !read_int(env, a[0], &fd) || !read_bytes(env, a[1], &key))
		return NULL;
	failed = bpf_map_delete_elem(fd, key.data);
	if (failed && errno != ENOENT)
		return raise_errno(env, "BPF_MAP_DELETE_ELEM", errno, NULL);
	napi_get_boolean(env, !failed, &out);
	return out;
}

// mapUpdateBatch(fd, keys, values, count): one system call; values of map-in-map maps are descriptors
static napi_value map_update_batch(napi_env env, napi_callback_info info)
{
	napi_value a[4];
	int64_t fd, count;
	struct bytes keys, values;

	if (!read_arguments(env, info, 4, a) || !read_int(env, a[0], &fd) || !read_bytes(env, a[1], &keys) ||
	    !read_bytes(env, a[2], &values) || !read_int(env, a[3], &count))
		return NULL;
	if (count <= 0 || keys.size % count || values.size % count)
		return raise_message(env, "ERR_OUT_OF_RANGE", "keys and values must hold exactly `count` elements");
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	uint32_t done = count;

	if (bpf_map_update_batch(fd, keys.data, values.data, &done, &options))
		return raise_errno(env, "BPF_MAP_UPDATE_BATCH", errno, NULL);
	return make_int(env, done);
}

// mapDeleteBatch(fd, keys, count) → number of keys that were there (missing keys are skipped)
static napi_value map_delete_batch(napi_env env, napi_callback_info info)
{
	napi_value a[3];
	int64_t fd, count;
	struct bytes keys;
	size_t size;
	uint32_t removed = 0;

	if (!read_arguments(env, info, 3, a) || !read_int(env, a[0], &fd) || !read_bytes(env, a[1], &keys) || !read_int(env, a[2], &count))
		return NULL;
	if (count <= 0 || keys.size % count)
		return raise_message(env, "ERR_OUT_OF_RANGE", "keys must hold exactly `count` elements");
	size = keys.size / count;
	for (int64_t at = 0; at < count;) {
		LIBBPF_OPTS(bpf_map_batch_opts, options);
		uint32_t done = count - at;
		int failed = bpf_map_delete_batch(fd, keys.data + at * size, &done, &options) ? errno : 0;

		if (failed == ENOENT) {
			removed += done;
			at += done + 1;
		} else if (failed == ENOTSUPP_KERNEL || failed == EINVAL || failed == EOPNOTSUPP) {
			if (!bpf_map_delete_elem(fd, keys.data + at * size))
				removed++;
			at++;
		} else if (failed) {
			return raise_errno(env, "BPF_MAP_DELETE_BATCH", failed, NULL);
		} else {
			removed += done;
			at += done;
		}
	}
	return make_int(env, removed);
}

// A map is read in rounds; a round smaller than a hash bucket fails with ENOSPC and is doubled. Few, large rounds: each call costs the kernel a set-up.
static int read_rounds(int fd, uint8_t *keys, uint8_t *values, size_t key, size_t value, uint32_t capacity, uint32_t *total)
{
	uint8_t cursor[2][256];
	uint32_t round = 16384;
	bool first = true;

	*total = 0;
	for (;;) {
		LIBBPF_OPTS(bpf_map_batch_opts, options);
		uint32_t count = capacity - *total < round ? capacity - *total : round;
		int failed;

		if (!count)
			return 0;
		failed = bpf_map_lookup_batch(fd, first ? NULL : cursor[0], cursor[1], keys + *total * key, values + *total * value, &count,
					      &options) ? errno : 0;
		if (failed == ENOSPC) {
			if (round >= capacity - *total)
				return ENOSPC;
			round *= 2;
			continue;
		}
		if (failed && failed != ENOENT)
			return failed;
		*total += count;
		if (failed)
			return 0;
		memcpy(cursor[0], cursor[1], sizeof(cursor[0]));
		first = false;
	}
}

static void free_content(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)hint;
	free(data);
}

// Hands memory over to JavaScript instead of copying it: a table of connections is tens of megabytes.
static napi_value give_bytes(napi_env env, uint8_t *data, size_t size)
{
	napi_value buffer, out;
	uint8_t *fitted = realloc(data, size ? size : 1);

	if (fitted)
		data = fitted;
	if (napi_create_external_arraybuffer(env, data, size, free_content, NULL, &buffer) == napi_ok) {
		napi_create_typedarray(env, napi_uint8_array, size, buffer, 0, &out);
		return out;
	}
	// A runtime that allows no memory of others.
	uint8_t *to;

	out = make_bytes(env, size, &to);
	memcpy(to, data, size);
	free(data);
	return out;
}

// mapReadAll(fd, keySize, valueSize, capacity) → { keys, values, count }
static napi_value map_read_all(napi_env env, napi_callback_info info)
{
	napi_value a[4], out;
	int64_t fd, key, value, capacity;
	uint8_t *keys, *values;
	uint32_t total = 0;
	int failed;

	if (!read_arguments(env, info, 4, a) || !read_int(env, a[0], &fd) || !read_int(env, a[1], &key) || !read_int(env, a[2], &value) ||
	    !read_int(env, a[3], &capacity))
		return NULL;
	keys = malloc(capacity * key + 1);
	values = malloc(capacity * value + 1);
	failed = keys && values ? read_rounds(fd, keys, values, key, value, capacity, &total) : ENOMEM;
	if (failed) {
		free(keys);
		free(values);
		return raise_errno(env, "BPF_MAP_LOOKUP_BATCH", failed, NULL);
	}
	napi_create_object(env, &out);
	set_value(env, out, "keys", give_bytes(env, keys, total * key));
	set_value(env, out, "values", give_bytes(env, values, total * value));
	set_int(env, out, "count", total);
	return out;
}

// mapNextKey(fd, key | undefined) → Uint8Array | undefined: for maps without batch reads
static napi_value map_next_key(napi_env env, napi_callback_info info)
{
	napi_value a[3], out;
	int64_t fd, size;
	struct bytes key = {};
	napi_valuetype type;
	uint8_t *next;

	if (!read_arguments(env, info, 3, a) || !read_int(env, a[0], &fd) || !read_int(env, a[2], &size))
		return NULL;
	napi_typeof(env, a[1], &type);
	if (type != napi_undefined && !read_bytes(env, a[1], &key))
		return NULL;
	out = make_bytes(env, size, &next);
	if (!bpf_map_get_next_key(fd, key.data, next))
		return out;
	return errno == ENOENT ? NULL : raise_errno(env, "BPF_MAP_GET_NEXT_KEY", errno, NULL);
}

void define_maps(napi_env env, napi_value exports)
{
	define(env, exports, "mapCreate", map_create);
	define(env, exports, "mapInfo", map_info);
	define(env, exports, "mapLookup", map_lookup);
	define(env, exports, "mapUpdate", map_update);
	define(env, exports, "mapDelete", map_delete);
	define(env, exports, "mapUpdateBatch", map_update_batch);
	define(env, exports, "mapDeleteBatch", map_delete_batch);
	define(env, exports, "mapReadAll", map_read_all);
	define(env, exports, "mapNextKey", map_next_key);
}
