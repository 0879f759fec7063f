# shellcheck shell=bash
# Sourced by tests/run: what the client tests need on the machine, and only what is missing.
# Nothing here starts a service. Everything built goes into CACHE, outside the tree.

CACHE=${ENTREPOT_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/entrepot-tests}
PACKAGES=(docker.io containerd podman skopeo docker-registry debootstrap busybox-static runc iproute2 iptables jq curl python3
  apache2-utils e2fsprogs fuse-overlayfs netavark uidmap strace openssl nginx caddy haproxy)
CONTAINERD=github.com/containerd/containerd/v2/cmd
MODULES=("$CONTAINERD/containerd@v2.4.2" "$CONTAINERD/ctr@v2.4.2" "$CONTAINERD/containerd-shim-runc-v2@v2.4.2"
  "github.com/moby/moby/v2/cmd/dockerd@v2.0.0-beta.24" "github.com/opencontainers/runc@v1.5.2" # Debian 12's runc knows no time namespace
  "helm.sh/helm/v3/cmd/helm@v3.22.0" "oras.land/oras/cmd/oras@v1.3.1"
  "github.com/google/go-containerregistry/cmd/crane@v0.22.1" "github.com/regclient/regclient/cmd/regctl@v0.11.7")

# installs the Debian packages that are missing; without root says what to install.
install_packages() {
  local missing=() package
  command -v dpkg-query >/dev/null || return 0
  for package in "${PACKAGES[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  if ((EUID != 0)); then
    echo "not root, so not installed: ${missing[*]}"
    return 0
  fi
  echo "installing ${missing[*]}"
  local policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then # the packages' way of being told not to start their services
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
  else
    policy=
  fi
  apt-get update -qq || true
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$LOGS/apt.log" 2>&1 || tail -n 5 "$LOGS/apt.log"
  [[ -z $policy ]] || rm "$policy"
}

# build_clients: Docker's and containerd's current generation, and the clients of artifacts. Where one cannot be had, the tests
# that need it say so.
build_clients() {
  local module program
  mkdir -p "$CACHE/bin"
  for module in "${MODULES[@]}"; do
    program=${module##*/}
    program=${program%@*}
    [[ -x $CACHE/bin/$program ]] && continue
    if ! command -v go >/dev/null; then
      echo "no Go on this machine: testing with Debian's clients alone"
      return 0
    fi
    echo "building $module"
    build_module "$module" "$program" >"$LOGS/go.log" 2>&1 || tail -n 5 "$LOGS/go.log"
  done
}

# build_module PACKAGE@VERSION PROGRAM: from a module made for it, because `go install PACKAGE@VERSION` asks for the list of all versions
# too, and not every proxy has that.
build_module() (
  mkdir "$LOGS/$2" && cd "$LOGS/$2" && go mod init "tests/$2" && go get "$1" && GOBIN=$CACHE/bin go install "${1%@*}"
)

# make_upstream: docker-registry's folder with the test images, made once.
make_upstream() {
  local work port codename mirror registry
  [[ -d $CACHE/upstream ]] && return 0
  command -v debootstrap docker-registry busybox >/dev/null && ((EUID == 0)) || return 0
  echo "making the test images"
  work=$LOGS/images
  mkdir "$work"
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  mirror=$(apt-get indextargets --format '$(RELEASE) $(SITE)' 'Identifier: Packages' | awk -v name="$codename" '$1 == name {print $2; exit}')
  debootstrap --variant=minbase "$codename" "$work/debian" "$mirror" >"$LOGS/debootstrap.log" 2>&1
  port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
  cat >"$work/registry.yml" <<EOF
version: 0.1
storage: {filesystem: {rootdirectory: $work/upstream}}
http: {addr: "127.0.0.1:$port"}
EOF
  docker-registry serve "$work/registry.yml" >"$LOGS/registry.log" 2>&1 &
  registry=$!
  for _ in {1..50}; do curl -fs "http://127.0.0.1:$port/v2/" >/dev/null && break || sleep 0.1; done
  tests/clients/images.py "http://127.0.0.1:$port" "$work/debian" "$(command -v busybox)"
  kill "$registry"
  wait "$registry" || true
  mkdir -p "$CACHE"
  cp -a "$work/upstream" "$CACHE/upstream.new" && mv "$CACHE/upstream.new" "$CACHE/upstream"
}
