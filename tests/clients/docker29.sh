#!/usr/bin/env bash
# Docker Engine 29's generation with containerd's image store: asks its mirrors with `ns`, and TLS first.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/containerd.sh"
. "$(dirname "$0")/docker.sh"
needs "$CACHE/bin/dockerd" "$CACHE/bin/containerd" "$CACHE/bin/containerd-shim-runc-v2" "$CACHE/bin/runc" "$DOCKER" openssl docker-registry

PATH=$CACHE/bin:$PATH
start_upstream
start_entrepot
start_containerd "$CACHE/bin/containerd"
start_docker "$CACHE/bin/dockerd" '"features": {"containerd-snapshotter": true}'
docker_cases
