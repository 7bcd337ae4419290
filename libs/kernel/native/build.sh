#!/bin/sh
# Compiles the native addon: libs/kernel/build/palisade_kernel.node. Needs gcc (or CC), libc6-dev and libbpf-dev;
# the Node-API headers come from the npm package node-api-headers, so no Node installation is asked.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH= cd -- "$here/../../.." && pwd)
out="$here/../build"
mkdir -p "$out"
"${CC:-gcc}" -std=gnu11 -O2 -fPIC -shared -fvisibility=hidden -Wall -Wextra -Werror \
  -D_FORTIFY_SOURCE=2 -fstack-protector-strong -Wl,-z,relro,-z,now \
  -ffile-prefix-map="$root"=. -I"$root/node_modules/node-api-headers/include" \
  "$here"/*.c -lbpf -o "$out/palisade_kernel.node.tmp"
mv "$out/palisade_kernel.node.tmp" "$out/palisade_kernel.node"
