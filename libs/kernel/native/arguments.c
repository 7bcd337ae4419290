// SPDX-License-Identifier: Apache-2.0
#include "arguments.h"

static const char *errno_name(int error)
{
	const char *name = strerrorname_np(error);

	return name ? name : "EUNKNOWN";
}

napi_value raise_errno(napi_env env, const char *call, int error, const char *detail)
{
	char message[512];
	napi_value text, code, failure;

	if (error < 0)
		error = -error;
	snprintf(message, sizeof(message), "%s failed: %s%s%s", call, strerror(error), detail ? ": " : "", detail ? detail : "");
	napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &text);
	napi_create_string_utf8(env, errno_name(error), NAPI_AUTO_LENGTH, &code);
	napi_create_error(env, code, text, &failure);
	set_int(env, failure, "errno", error);
	set_value(env, failure, "syscall", make_text(env, call));
	napi_throw(env, failure);
	return NULL;
}

napi_value raise_message(napi_env env, const char *code, const char *message)
{
	napi_throw_error(env, code, message);
	return NULL;
}

bool read_arguments(napi_env env, napi_callback_info info, size_t wanted, napi_value *out)
{
	size_t count = wanted;

	if (napi_get_cb_info(env, info, &count, out, NULL, NULL) != napi_ok || count < wanted) {
		napi_throw_type_error(env, "ERR_MISSING_ARGS", "too few arguments for a native kernel function");
		return false;
	}
	return true;
}

bool read_int(napi_env env, napi_value value, int64_t *out)
{
	if (napi_get_value_int64(env, value, out) == napi_ok)
		return true;
	napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "a number is expected");
	return false;
}

bool read_text(napi_env env, napi_value value, char *out, size_t size)
{
	size_t length = 0;

	if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) {
		napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "a string is expected");
		return false;
	}
	if (length >= size) {
		napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "a string is too long");
		return false;
	}
	napi_get_value_string_utf8(env, value, out, size, &length);
	return true;
}

bool read_bytes(napi_env env, napi_value value, struct bytes *out)
{
	napi_typedarray_type type;
	napi_value buffer;
	size_t offset;
	void *data;

	if (napi_get_typedarray_info(env, value, &type, &out->size, &data, &buffer, &offset) != napi_ok || type != napi_uint8_array) {
		napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "a Uint8Array is expected");
		return false;
	}
	out->data = data;
	return true;
}

napi_value make_int(napi_env env, int64_t value)
{
	napi_value out;

	napi_create_int64(env, value, &out);
	return out;
}

napi_value make_text(napi_env env, const char *value)
{
	napi_value out;

	napi_create_string_utf8(env, value, NAPI_AUTO_LENGTH, &out);
	return out;
}

napi_value make_bytes(napi_env env, size_t size, uint8_t **data)
{
	napi_value buffer, out;

	napi_create_arraybuffer(env, size, (void **)data, &buffer);
	napi_create_typedarray(env, napi_uint8_array, size, buffer, 0, &out);
	return out;
}

void set_value(napi_env env, napi_value object, const char *name, napi_value value)
{
	napi_set_named_property(env, object, name, value);
}

void set_int(napi_env env, napi_value object, const char *name, int64_t value)
{
	set_value(env, object, name, make_int(env, value));
}

void define(napi_env env, napi_value exports, const char *name, napi_callback function)
{
	napi_value value;

	napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &value);
	set_value(env, exports, name, value);
}

NAPI_MODULE_INIT()
{
	define_maps(env, exports);
	define_objects(env, exports);
	define_links(env, exports);
	define_clsact(env, exports);
	define_netlink(env, exports);
	define_ring(env, exports);
	define_host(env, exports);
	return exports;
}
