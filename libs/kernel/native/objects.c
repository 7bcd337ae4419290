// SPDX-License-Identifier: Apache-2.0
// Program objects: load with pinned maps reused, run on a crafted packet, pin and open.
#include "arguments.h"
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

#define LOG_SIZE (64 * 1024)

// The end of what libbpf and the verifier said, because the reason stands there.
static char log_text[LOG_SIZE];
static char verifier_log[LOG_SIZE];
static size_t log_length;

static int keep_log(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char line[16 * 1024];
	int length;

	if (level == LIBBPF_DEBUG)
		return 0;
	length = vsnprintf(line, sizeof(line), format, arguments);
	if (length >= (int)sizeof(line))
		length = sizeof(line) - 1;
	if (length <= 0)
		return 0;
	if (log_length + length >= LOG_SIZE) {
		size_t keep = LOG_SIZE / 2 < log_length ? LOG_SIZE / 2 : log_length;

		memmove(log_text, log_text + log_length - keep, keep);
		log_length = keep;
	}
	memcpy(log_text + log_length, line, length);
	log_length += length;
	log_text[log_length] = 0;
	return length;
}

static napi_value raise_load(napi_env env, const char *call, int error)
{
	napi_value failure;

	raise_errno(env, call, error, NULL);
	napi_get_and_clear_last_exception(env, &failure);
	set_value(env, failure, "log", make_text(env, log_text));
	set_value(env, failure, "verifierLog", make_text(env, verifier_log));
	napi_throw(env, failure);
	return NULL;
}

static bool wanted_program(napi_env env, napi_value list, const char *name, int64_t *type, int64_t *attach)
{
	uint32_t count = 0;

	napi_get_array_length(env, list, &count);
	for (uint32_t i = 0; i < count; i++) {
		napi_value entry, field;
		char text[64];

		napi_get_element(env, list, i, &entry);
		napi_get_named_property(env, entry, "name", &field);
		if (napi_get_value_string_utf8(env, field, text, sizeof(text), NULL) != napi_ok || strcmp(text, name))
			continue;
		napi_get_named_property(env, entry, "type", &field);
		napi_get_value_int64(env, field, type);
		napi_get_named_property(env, entry, "attachType", &field);
		napi_get_value_int64(env, field, attach);
		return true;
	}
	return false;
}

static int prepare(napi_env env, struct bpf_object *object, const char *directory, napi_value programs, napi_value sizes)
{
	struct bpf_program *program;
	struct bpf_map *map;

	bpf_object__for_each_program(program, object) {
		int64_t type = -1, attach = -1;
		bool wanted = wanted_program(env, programs, bpf_program__name(program), &type, &attach);

		bpf_program__set_autoload(program, wanted);
		if (type >= 0)
			bpf_program__set_type(program, type);
		if (attach >= 0)
			bpf_program__set_expected_attach_type(program, attach);
	}
	bpf_object__for_each_map(map, object) {
		char path[MAX_PATH];
		bool resized = false;
		napi_value size;
		int64_t entries;
		int failed;

		napi_has_named_property(env, sizes, bpf_map__name(map), &resized);
		if (resized) {
			napi_get_named_property(env, sizes, bpf_map__name(map), &size);
			if (napi_get_value_int64(env, size, &entries) == napi_ok)
				bpf_map__set_max_entries(map, entries);
		}
		if (!directory[0] || bpf_map__is_internal(map))
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", directory, bpf_map__name(map)) >= (int)sizeof(path))
			return -ENAMETOOLONG;
		failed = bpf_map__set_pin_path(map, path);
		if (failed)
			return failed;
	}
	return 0;
}

static napi_value loaded(napi_env env, struct bpf_object *object)
{
	napi_value out, programs, maps;
	struct bpf_program *program;
	struct bpf_map *map;

	napi_create_object(env, &out);
	napi_create_object(env, &programs);
	napi_create_object(env, &maps);
	bpf_object__for_each_program(program, object) {
		if (bpf_program__autoload(program))
			set_int(env, programs, bpf_program__name(program), dup(bpf_program__fd(program)));
	}
	bpf_object__for_each_map(map, object)
		set_int(env, maps, bpf_map__name(map), dup(bpf_map__fd(map)));
	set_value(env, out, "programs", programs);
	set_value(env, out, "maps", maps);
	return out;
}

// The ABI that the object was compiled with (bpf/include/abi.h), 0 where it does not say.
static int64_t object_abi(const struct bpf_object *object)
{
	const struct btf *btf = bpf_object__btf(object);
	int id = btf ? btf__find_by_name_kind(btf, "palisade_abi", BTF_KIND_ENUM) : -1;
	const struct btf_type *type = id > 0 ? btf__type_by_id(btf, id) : NULL;

	return type && btf_vlen(type) == 1 ? btf_enum(type)->val : 0;
}

// loadObject(bytes, pinDirectory | "", [{ name, type, attachType }], { map: maxEntries }, ABI | 0 for any) → { programs: {name: fd}, maps: {name: fd} }
// Type and attach type are numbers, or -1 where the section name says it.
static napi_value load_object(napi_env env, napi_callback_info info)
{
	napi_value a[5], out;
	struct bpf_object *object;
	struct bytes bytes;
	char directory[MAX_PATH];
	int64_t wanted, found;
	int failed;

	if (!read_arguments(env, info, 5, a) || !read_bytes(env, a[0], &bytes) || !read_text(env, a[1], directory, sizeof(directory)) ||
	    !read_int(env, a[4], &wanted))
		return NULL;
	log_length = 0;
	log_text[0] = 0;
	verifier_log[0] = 0;
	libbpf_set_print(keep_log);
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "palisade", .kernel_log_buf = verifier_log,
		    .kernel_log_size = sizeof(verifier_log));
	object = bpf_object__open_mem(bytes.data, bytes.size, &options);
	if (!object)
		return raise_load(env, "opening the object", errno);
	found = object_abi(object);
	if (wanted && found != wanted) {
		bpf_object__close(object);
		snprintf(log_text, sizeof(log_text),
			 "its programs speak datapath ABI %lld and this agent %lld. Publish the programs that belong to the agents' version, or "
			 "bring the agents to the programs' version.",
			 (long long)found, (long long)wanted);
		return raise_load(env, "reading the object's ABI", EPROTONOSUPPORT);
	}
	failed = prepare(env, object, directory, a[2], a[3]);
	if (!failed) {
		// The verifier gives up with EAGAIN when its thread has a signal to take; libbpf tries five times, a storm outlasts it.
		sigset_t all, before;

		sigfillset(&all);
		pthread_sigmask(SIG_BLOCK, &all, &before);
		failed = bpf_object__load(object);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	if (failed) {
		bpf_object__close(object);
		return raise_load(env, "BPF_PROG_LOAD", failed);
	}
	out = loaded(env, object);
	bpf_object__close(object);
#ifdef __GLIBC__
	malloc_trim(0); // the kernel's type information took megabytes
#endif
	return out;
}

// testRun(programFd, packet, context | empty, repeat) → { result, packet, context, durationNs }
static napi_value test_run(napi_env env, napi_callback_info info)
{
	napi_value a[4], out, packet;
	int64_t fd, repeat;
	struct bytes data, context;
	uint8_t *result;
	size_t room;

	if (!read_arguments(env, info, 4, a) || !read_int(env, a[0], &fd) || !read_bytes(env, a[1], &data) ||
	    !read_bytes(env, a[2], &context) || !read_int(env, a[3], &repeat))
		return NULL;
	room = data.size + 512;
	packet = make_bytes(env, room, &result);
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = data.data, .data_size_in = data.size, .data_out = result, .data_size_out = room,
		    .ctx_in = context.size ? context.data : NULL, .ctx_size_in = context.size,
		    .ctx_out = context.size ? context.data : NULL, .ctx_size_out = context.size, .repeat = repeat);
	if (bpf_prog_test_run_opts(fd, &options))
		return raise_errno(env, "BPF_PROG_TEST_RUN", errno, NULL);
	napi_create_object(env, &out);
	set_int(env, out, "result", (int32_t)options.retval);
	set_int(env, out, "durationNs", options.duration);
	set_int(env, out, "size", options.data_size_out);
	set_value(env, out, "packet", packet);
	return out;
}

// programInfo(fd) → { id, type, name, tag, verifiedInstructions, runTimeNs, runCount }
static napi_value program_info(napi_env env, napi_callback_info info)
{
	napi_value a[1], out;
	int64_t fd;
	struct bpf_prog_info program = {};
	uint32_t size = sizeof(program);
	char tag[17];

	if (!read_arguments(env, info, 1, a) || !read_int(env, a[0], &fd))
		return NULL;
	if (bpf_obj_get_info_by_fd(fd, &program, &size))
		return raise_errno(env, "BPF_OBJ_GET_INFO_BY_FD", errno, "program");
	for (int i = 0; i < 8; i++)
		sprintf(tag + 2 * i, "%02x", program.tag[i]);
	napi_create_object(env, &out);
	set_int(env, out, "id", program.id);
	set_int(env, out, "type", program.type);
	set_value(env, out, "name", make_text(env, program.name));
	set_value(env, out, "tag", make_text(env, tag));
	set_int(env, out, "verifiedInstructions", program.verified_insns);
	set_int(env, out, "runTimeNs", program.run_time_ns);
	set_int(env, out, "runCount", program.run_cnt);
	return out;
}

// objectPin(fd, path), objectOpen(path) → fd | undefined
static napi_value object_pin(napi_env env, napi_callback_info info)
{
	napi_value a[2];
	int64_t fd;
	char path[MAX_PATH];

	if (!read_arguments(env, info, 2, a) || !read_int(env, a[0], &fd) || !read_text(env, a[1], path, sizeof(path)))
		return NULL;
	return bpf_obj_pin(fd, path) ? raise_errno(env, "BPF_OBJ_PIN", errno, path) : NULL;
}

static napi_value object_open(napi_env env, napi_callback_info info)
{
	napi_value a[1];
	char path[MAX_PATH];
	int fd;

	if (!read_arguments(env, info, 1, a) || !read_text(env, a[0], path, sizeof(path)))
		return NULL;
	fd = bpf_obj_get(path);
	if (fd >= 0)
		return make_int(env, fd);
	return errno == ENOENT ? NULL : raise_errno(env, "BPF_OBJ_GET", errno, path);
}

static napi_value close_descriptor(napi_env env, napi_callback_info info)
{
	napi_value a[1];
	int64_t fd;

	if (read_arguments(env, info, 1, a) && read_int(env, a[0], &fd))
		close(fd);
	return NULL;
}

void define_objects(napi_env env, napi_value exports)
{
	define(env, exports, "loadObject", load_object);
	define(env, exports, "testRun", test_run);
	define(env, exports, "programInfo", program_info);
	define(env, exports, "objectPin", object_pin);
	define(env, exports, "objectOpen", object_open);
	define(env, exports, "close", close_descriptor);
}
