#!/usr/bin/env bash
# Debian's containerd (1.6 in Debian 12): mirrors by hosts.toml, asked with `ns`.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/containerd.sh"
needs containerd ctr runc docker-registry

start_upstream
start_entrepot
start_containerd containerd
containerd_cases ctr
