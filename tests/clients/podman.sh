#!/usr/bin/env bash
# Debian's podman (4.3 in Debian 12): a mirror in registries.conf is asked under the path prefix docker.io/.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/libpod.sh"
needs podman runc docker-registry

podman() {
  at_home podman --root "$WORK/podman" --runroot "$WORK/podman-run" --tmpdir "$WORK/podman-tmp" --storage-driver overlay \
    --cgroup-manager cgroupfs --events-backend file --runtime runc "$@"
}

forget_images() { podman rmi --all --force; }

# pulled IMAGE DIGEST
pulled() {
  podman pull "$1"
  podman image inspect "$1" --format '{{join .RepoDigests "\n"}}' | grep -F "@$2"
}

prints() {
  local expected=$1
  shift
  same "output" "$expected" "$(podman run --rm --network none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --security-opt seccomp=unconfined "$@")"
}

logs_in() {
  refused podman login --username admin --password wrong "$ADDRESS"
  podman login --username admin --password "$PASSWORD" "$ADDRESS"
}

# pushes SOURCE REPOSITORY TAG
pushes() {
  podman push "$1" "$ADDRESS/$2:$3"
  hosted "$2" "$3"
}

pushes_back() {
  podman pull "$ADDRESS/$1:$2"
  pushes "$ADDRESS/$1:$2" "$1" "$2"
}

# finds TERM NAME: a search at the address names the repository.
finds() { podman search --format '{{.Name}}' "$ADDRESS/$1" | grep -Fx "$ADDRESS/$2"; }

# lists_tag NAME TAG
lists_tag() { podman search --list-tags "$ADDRESS/$1" | awk '{print $NF}' | grep -Fx "$2"; }

pulls_and_pushes_securely() {
  refused podman pull "$SECURE/small:1"
  follow "podman, buildah, skopeo"
  pulled "$SECURE/small:1" "$(upstream_digest library/small 1)"
  podman login --username admin --password "$PASSWORD" "$SECURE"
  podman push "$SECURE/small:1" "$SECURE/team/secured:1"
  hosted team/secured 1
}

pulls_all_again() {
  forget_images
  pulled docker.io/library/debian:12 "$DEBIAN"
  prints "entrepot tests" "$ADDRESS/team/app:1" cat /etc/made-by
  podman pull "$ADDRESS/small:1"
}

start_upstream
start_entrepot
registries_conf
DEBIAN=$(upstream_digest library/debian 12)
MULTI=$(upstream_digest library/multi 1)

check "an image comes through registries.conf" pulled docker.io/library/debian:12 "$DEBIAN"
check "each of its blobs crossed the uplink once" crossed_once library/debian 12
check "a short name comes through it too" pulled debian:12 "$DEBIAN"
check "a multi-platform tag comes through it" pulled docker.io/library/multi:1 "$MULTI"
check "what was pulled runs" prints "entrepot tests" docker.io/library/multi:1 cat /etc/made-by
check "a push without log-in is refused" refused podman push docker.io/library/multi:1 "$ADDRESS/team/app:1"
check "log-in fails with a wrong password and works with the right one" logs_in
check "an image is pushed" pushes docker.io/library/multi:1 team/app 1
check "a large image is pushed" pushes docker.io/library/debian:12 team/base 1
check "the same image is pushed under a second name" pushes docker.io/library/debian:12 team/second 1
check "what was pulled through the address is pushed back under the same name" pushes_back small 1
check "over HTTPS, once the CA is where /connect says, an image is pulled and pushed" pulls_and_pushes_securely
check "podman search finds what was pushed" finds app team/app
check "podman search finds what is cached" finds debian debian
check "podman search lists an image's tags" lists_tag debian 12
stop_upstream
check "everything is pulled again with the upstream stopped" pulls_all_again
restart_entrepot
check "everything is pulled again after a restart, the upstream still stopped" pulls_all_again
