// SPDX-License-Identifier: Apache-2.0
// Reading arguments and raising errors. Every native function is synchronous and called from the main thread only.
#ifndef PALISADE_ARGUMENTS_H
#define PALISADE_ARGUMENTS_H

#define _GNU_SOURCE
#define NAPI_VERSION 8
#include <errno.h>
#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ARGUMENTS 8
#define MAX_PATH 1024

struct bytes {
	uint8_t *data;
	size_t size;
};

// Raises an Error with `errno` (number), `code` (text, for example ENOENT) and `syscall`; returns NULL for `return raise(…)`.
napi_value raise_errno(napi_env env, const char *call, int error, const char *detail);
napi_value raise_message(napi_env env, const char *code, const char *message);

// False: an exception is pending and the function must return NULL.
bool read_arguments(napi_env env, napi_callback_info info, size_t wanted, napi_value *out);
bool read_int(napi_env env, napi_value value, int64_t *out);
bool read_text(napi_env env, napi_value value, char *out, size_t size);
bool read_bytes(napi_env env, napi_value value, struct bytes *out);

napi_value make_int(napi_env env, int64_t value);
napi_value make_text(napi_env env, const char *value);
napi_value make_bytes(napi_env env, size_t size, uint8_t **data);
void set_int(napi_env env, napi_value object, const char *name, int64_t value);
void set_value(napi_env env, napi_value object, const char *name, napi_value value);

void define(napi_env env, napi_value exports, const char *name, napi_callback function);

void define_maps(napi_env env, napi_value exports);
void define_objects(napi_env env, napi_value exports);
void define_links(napi_env env, napi_value exports);
void define_clsact(napi_env env, napi_value exports);
void define_netlink(napi_env env, napi_value exports);
void define_ring(napi_env env, napi_value exports);
void define_host(napi_env env, napi_value exports);

#endif
