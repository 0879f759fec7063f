#!/usr/bin/env bash
# containerd 2.4: as 1.6, and it may ask for one layer by several ranges at once.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/containerd.sh"
needs "$CACHE/bin/containerd" "$CACHE/bin/ctr" "$CACHE/bin/containerd-shim-runc-v2" "$CACHE/bin/runc" docker-registry

PATH=$CACHE/bin:$PATH
start_upstream
start_entrepot
start_containerd "$CACHE/bin/containerd"
containerd_cases "$CACHE/bin/ctr"
