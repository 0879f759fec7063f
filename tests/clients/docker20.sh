#!/usr/bin/env bash
# Debian's Docker (20.10 in Debian 12): asks its mirrors without `ns`, pushes layer by layer with mounts.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/containerd.sh"
. "$(dirname "$0")/docker.sh"
needs dockerd containerd runc openssl docker-registry

start_upstream
start_entrepot
start_containerd containerd
start_docker dockerd
docker_cases
