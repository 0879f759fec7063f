# shellcheck shell=bash
# Sourced by the tests of containerd and of Docker, which stands on it: the daemon in a folder of its own, and containerd's cases.

# start_containerd PROGRAM: without its Kubernetes plugins, which would listen on a port.
start_containerd() {
  cat >"$WORK/containerd.toml" <<EOF
version = 2
root = "$WORK/containerd"
state = "$WORK/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]
[grpc]
address = "$WORK/containerd.sock"
EOF
  start containerd "$1" --config "$WORK/containerd.toml"
  await 30 containerd test -S "$WORK/containerd.sock"
}

ctr() { timeout 180 "$CTR" --address "$WORK/containerd.sock" "$@"; }

# hosts_folder NAME…: a folder that sends these registries to entrepot. Their own server is a port where nothing listens,
# so that only the mirror can answer.
hosts_folder() {
  local folder name
  folder=$(mktemp -d "$WORK/hosts-XXXX")
  for name in "$@"; do
    mkdir "$folder/$name"
    cat >"$folder/$name/hosts.toml" <<EOF
server = "http://127.0.0.1:1"
[host."http://$ADDRESS"]
  capabilities = ["pull", "resolve"]
EOF
  done
  echo "$folder"
}

# pulled HOSTS IMAGE DIGEST
pulled() {
  ctr images pull --hosts-dir "$1" "$2"
  ctr images list "name==$2" | grep -F "$3"
}

# Nothing may be left that a second pull could use.
forget_images() {
  ctr images list --quiet | while read -r image; do ctr images rm --sync "$image"; done
  ctr content list --quiet | while read -r content; do ctr content rm "$content"; done
}

pushed() {
  ctr images pull --hosts-dir "$DOCKER_IO" docker.io/library/small:1
  ctr images tag --force docker.io/library/small:1 "$ADDRESS/team/app:1"
  refused ctr images push --plain-http "$ADDRESS/team/app:1"
  refused ctr images push --plain-http --user admin:wrong "$ADDRESS/team/app:1"
  ctr images push --plain-http --user "admin:$PASSWORD" "$ADDRESS/team/app:1"
  hosted team/app 1
}

pulls_securely() {
  refused ctr images pull --hosts-dir /etc/containerd/certs.d "$SECURE/library/multi:1"
  follow "containerd, without a restart"
  pulled /etc/containerd/certs.d "$SECURE/library/multi:1" "$MULTI"
}

pulls_all_again() {
  forget_images
  pulled "$DOCKER_IO" docker.io/library/debian:12 "$DEBIAN"
  pulled "$DEFAULT" docker.io/library/multi:1 "$MULTI"
  ctr images pull --plain-http "$ADDRESS/team/app:1"
}

containerd_cases() {
  CTR=$1
  DEBIAN=$(upstream_digest library/debian 12)
  MULTI=$(upstream_digest library/multi 1)
  DOCKER_IO=$(hosts_folder docker.io)
  DEFAULT=$(hosts_folder _default)

  check "an image comes through docker.io/hosts.toml" pulled "$DOCKER_IO" docker.io/library/debian:12 "$DEBIAN"
  check "each of its blobs crossed the uplink once" crossed_once library/debian 12
  check "a multi-platform image comes through _default/hosts.toml" pulled "$DEFAULT" docker.io/library/multi:1 "$MULTI"
  check "every platform of an index comes" ctr images pull --all-platforms --hosts-dir "$DOCKER_IO" docker.io/library/multi:1
  check "what was pulled runs" ctr run --rm docker.io/library/multi:1 first cat /etc/made-by
  check "an image comes by its digest alone" pulled "$DOCKER_IO" "docker.io/library/debian@$DEBIAN" "$DEBIAN"
  check "a registry that is not configured is not answered for" refused ctr images pull --hosts-dir "$DEFAULT" registry.invalid/library/multi:1
  check "an image is pushed with the right password alone" pushed
  check "over HTTPS, once the CA is where /connect says, an image is pulled" pulls_securely

  stop_upstream
  check "everything is pulled again with the upstream stopped" pulls_all_again
  restart_entrepot
  check "everything is pulled again after a restart, the upstream still stopped" pulls_all_again
}
