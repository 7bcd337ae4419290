/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Layouts of what is known about processes, shared with libs/dataplane/src/abi/process-layouts.ts. */
#ifndef PALISADE_ABI_PROCESS_H
#define PALISADE_ABI_PROCESS_H

#define MAX_PATH_BYTES 256
#define MAX_CGROUP_NAME 128
#define MAX_ARGUMENT_BYTES 512

/* What a process executes. Children that fork without executing anything share their parent's. */
struct execution {
	__u64 started_ns; /* CLOCK_MONOTONIC */
	__u64 cgroup_id;
	__u32 pid; /* of the process that executed it */
	__u32 uid;
	__u32 argument_bytes; /* of all arguments; what is longer than MAX_ARGUMENT_BYTES is cut */
	__u32 reserved;
	char path[MAX_PATH_BYTES];          /* as it was given to execve(2), zero-padded */
	char cgroup[MAX_CGROUP_NAME];       /* last part of the cgroup's path: container runtimes put their id there */
	char arguments[MAX_ARGUMENT_BYTES]; /* each ends with a zero byte */
};

/* Process id → what it executes. */
struct process_execution {
	__u64 execution;
	__u64 exited_ns; /* 0: it runs */
};

#endif
