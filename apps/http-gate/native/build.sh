#!/bin/sh
# Compiles what the HTTP gate needs beside Node: build/palisade_gate.node and build/palisade-gate-launch.
# Needs gcc (or CC) and libc6-dev; the Node-API headers come from the npm package node-api-headers.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH= cd -- "$here/../../.." && pwd)
out="$here/../build"
mkdir -p "$out"
flags="-std=gnu11 -O2 -Wall -Wextra -Werror -D_FORTIFY_SOURCE=2 -fstack-protector-strong -Wl,-z,relro,-z,now -ffile-prefix-map=$root=."
"${CC:-gcc}" $flags -fPIE -pie "$here/launch.c" -o "$out/palisade-gate-launch.tmp"
mv "$out/palisade-gate-launch.tmp" "$out/palisade-gate-launch"
"${CC:-gcc}" $flags -fPIC -shared -fvisibility=hidden -I"$root/node_modules/node-api-headers/include" \
  "$here/sockets.c" -o "$out/palisade_gate.node.tmp"
mv "$out/palisade_gate.node.tmp" "$out/palisade_gate.node"
