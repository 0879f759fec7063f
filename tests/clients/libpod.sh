# shellcheck shell=bash
# Sourced by the tests of podman and skopeo: their configuration in a home folder of its own.

LIBPOD_HOME=$WORK/home
mkdir -p "$LIBPOD_HOME/.config/containers" "$WORK/runtime"
echo '{}' >"$WORK/auth.json"

# at_home COMMAND…: for this command alone, as docker-registry would read REGISTRY_AUTH_FILE as a setting of its own.
at_home() { HOME=$LIBPOD_HOME XDG_RUNTIME_DIR=$WORK/runtime REGISTRY_AUTH_FILE=$WORK/auth.json timeout 180 "$@"; }

# registries_conf: docker.io comes through the mirror, and its own place is a port where nothing listens.
registries_conf() {
  cat >"$LIBPOD_HOME/.config/containers/registries.conf" <<EOF
unqualified-search-registries = ["docker.io"]
[[registry]]
prefix = "docker.io"
location = "127.0.0.1:1"
insecure = true
[[registry.mirror]]
location = "$ADDRESS/docker.io"
insecure = true
[[registry]]
location = "$ADDRESS"
insecure = true
EOF
  echo '{"default": [{"type": "insecureAcceptAnything"}]}' >"$LIBPOD_HOME/.config/containers/policy.json"
}
