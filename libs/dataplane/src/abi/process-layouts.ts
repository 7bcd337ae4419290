/** The structures of bpf/include/abi_process.h. A test compares each with the BTF of the compiled object. */

import { layout } from './layout.ts';

export const MAX_PATH_BYTES = 256;
export const MAX_CGROUP_NAME = 128;
export const MAX_ARGUMENT_BYTES = 512;

export const EXECUTION = layout('execution', {
  started_ns: ['u64'],
  cgroup_id: ['u64'],
  pid: ['u32'],
  uid: ['u32'],
  argument_bytes: ['u32'],
  reserved: ['u32'],
  path: ['u8', MAX_PATH_BYTES],
  cgroup: ['u8', MAX_CGROUP_NAME],
  arguments: ['u8', MAX_ARGUMENT_BYTES],
});

export const PROCESS_EXECUTION = layout('process_execution', { execution: ['u64'], exited_ns: ['u64'] });
