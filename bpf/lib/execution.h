/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * What every process of the node executes, noted when it does: flows are drained later than short-lived processes live.
 * Bounded: the least recently used entries leave. User space fills in what ran before, and sweeps what has ended.
 */
#ifndef PALISADE_EXECUTION_H
#define PALISADE_EXECUTION_H

MAP(executions, BPF_MAP_TYPE_LRU_HASH, 4096, __u64, struct execution);
MAP(process_executions, BPF_MAP_TYPE_LRU_HASH, 32768, __u32, struct process_execution);
/* Tracepoints run with preemption off, and nothing executes a program in an interrupt. */
MAP(execution_scratch, BPF_MAP_TYPE_PERCPU_ARRAY, 1, __u32, struct execution);

static __always_inline void execution_arguments(struct execution *e, struct task_struct *task)
{
	unsigned long start = BPF_CORE_READ(task, mm, arg_start);
	unsigned long end = BPF_CORE_READ(task, mm, arg_end);
	__u32 size;

	e->argument_bytes = end > start ? end - start : 0;
	size = e->argument_bytes < MAX_ARGUMENT_BYTES ? e->argument_bytes : MAX_ARGUMENT_BYTES;
	if (size && bpf_probe_read_user(e->arguments, size & (2 * MAX_ARGUMENT_BYTES - 1), (void *)start))
		e->argument_bytes = 0;
}

/* sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm) */
SEC("tp_btf/sched_process_exec")
int on_execution(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct linux_binprm *binary = (void *)ctx[2];
	struct process_execution running = {};
	__u32 zero = 0, pid = bpf_get_current_pid_tgid() >> 32;
	struct execution *e = bpf_map_lookup_elem(&execution_scratch, &zero);
	const char *name;

	if (!e)
		return 0;
	__builtin_memset(e, 0, sizeof(*e));
	e->started_ns = bpf_ktime_get_ns();
	e->cgroup_id = bpf_get_current_cgroup_id();
	e->pid = pid;
	e->uid = (__u32)bpf_get_current_uid_gid();
	bpf_probe_read_kernel_str(e->path, sizeof(e->path), BPF_CORE_READ(binary, filename));
	name = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, name);
	bpf_probe_read_kernel_str(e->cgroup, sizeof(e->cgroup), name);
	execution_arguments(e, task);
	running.execution = e->started_ns;
	bpf_map_update_elem(&executions, &running.execution, e, BPF_ANY);
	bpf_map_update_elem(&process_executions, &pid, &running, BPF_ANY);
	return 0;
}

/* sched_process_fork(struct task_struct *parent, struct task_struct *child) */
SEC("tp_btf/sched_process_fork")
int on_fork(__u64 *ctx)
{
	struct task_struct *child = (void *)ctx[1];
	__u32 parent = bpf_get_current_pid_tgid() >> 32;
	__u32 pid = child->tgid;
	struct process_execution *known, running = {};

	if (child->pid != child->tgid)
		return 0; /* a thread */
	known = bpf_map_lookup_elem(&process_executions, &parent);
	if (!known) {
		bpf_map_delete_elem(&process_executions, &pid); /* of an earlier process with this id */
		return 0;
	}
	running.execution = known->execution;
	bpf_map_update_elem(&process_executions, &pid, &running, BPF_ANY);
	return 0;
}

/* sched_process_exit(struct task_struct *p): kept a while, because its last flows are still to be drained. */
SEC("tp_btf/sched_process_exit")
int on_exit(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	__u32 pid = task->tgid;
	struct process_execution *known;

	if (task->pid != task->tgid)
		return 0;
	known = bpf_map_lookup_elem(&process_executions, &pid);
	if (known)
		known->exited_ns = bpf_ktime_get_ns();
	return 0;
}

#endif
