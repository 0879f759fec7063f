# shellcheck shell=bash
# Sourced by every client test: servers on loopback ports chosen at run time, one folder, one line per case.
# What was started here is stopped by its process id when the script ends, however it ends.
# Needs from tests/run: ENTREPOT (the program), FRONT (the fault upstream), CACHE (made by prepare.sh).

set -euo pipefail
shopt -s inherit_errexit
# In a network and with mounts of its own, which end with the script. There 192.0.2.1 is this machine, and no loopback: clients
# check certificates.
if [[ -z ${ENTREPOT_TEST_NAMESPACE:-} ]]; then ENTREPOT_TEST_NAMESPACE=$$ exec unshare --net --mount "$0" "$@"; fi
ip link set lo up
ip address add 192.0.2.1/32 dev lo
CLIENT=$(basename "$0" .sh)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/entrepot-XXXXXX")
PASSWORD="right-$RANDOM$RANDOM"
MANIFESTS="Accept: application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json,\
 application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
declare -A PROCESS=()
STARTED=()

# start NAME COMMAND…: in the background, its output in WORK/NAME.log.
start() {
  local name=$1
  shift
  "$@" >>"$WORK/$name.log" 2>&1 </dev/null &
  PROCESS[$name]=$!
  STARTED+=("$name")
}

# stop NAME: ends it politely, and by force after 15 s.
stop() {
  local process=${PROCESS[$1]:-}
  [[ -n $process ]] || return 0
  unset "PROCESS[$1]"
  kill "$process" 2>/dev/null || true
  for _ in {1..150}; do
    kill -0 "$process" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$process" 2>/dev/null || true
  wait "$process" 2>/dev/null || true
}

tidy_up() {
  local index
  for ((index = ${#STARTED[@]} - 1; index >= 0; index--)); do stop "${STARTED[index]}"; done
  findmnt --raw --noheadings --output TARGET | { grep "^$WORK/" || true; } | sort -r | while read -r mount; do umount --lazy "$mount" || true; done
  if [[ -n ${ENTREPOT_TEST_KEEP:-} ]]; then echo "kept: $WORK"; else rm -rf "$WORK"; fi
}
trap tidy_up EXIT
trap 'exit 143' TERM INT

# await SECONDS WHAT COMMAND…: until the command succeeds.
await() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= end)); then
      echo "FAIL $CLIENT: $what did not get ready"
      tail -n 5 "$WORK"/*.log | cut -c 1-300 | sed 's/^/  | /'
      exit 1
    fi
    sleep 0.1
  done
}

# check SENTENCE COMMAND…: PASS or FAIL; what the command said is shown when it failed. The command runs in a subshell.
check() {
  local sentence=$1 status
  shift
  set +e
  (
    set -e
    "$@"
  ) >"$WORK/case" 2>&1 </dev/null
  status=$?
  set -e
  if ((status == 0)); then
    echo "PASS $CLIENT: $sentence"
  else
    echo "FAIL $CLIENT: $sentence"
    tail -n 20 "$WORK/case" | cut -c 1-600 | sed 's/^/  | /'
    tail -n 10 "$WORK/entrepot.log" 2>/dev/null | cut -c 1-600 | sed 's/^/  server | /' || true
  fi
}

# skip SENTENCE WHY
skip() { echo "SKIP $CLIENT: $1: $2"; }

# needs PROGRAM…: without one of them this client is skipped.
needs() {
  local program
  for program in "$@"; do
    if ! command -v "$program" >/dev/null; then
      skip "everything" "$program is not on this machine"
      exit 0
    fi
  done
  if [[ ! -d $CACHE/upstream ]]; then
    skip "everything" "the test images could not be made"
    exit 0
  fi
}

# refused COMMAND…: succeeds when the command fails by itself (a time-out, 124, is no refusal).
refused() {
  local status=0
  "$@" || status=$?
  if ((status == 0 || status == 124)); then
    echo "should have been refused (exit code $status): $*"
    return 1
  fi
}

# same WHAT EXPECTED FOUND
same() {
  [[ -n $2 && $2 == "$3" ]] || {
    echo "$1: expected '$2', found '$3'"
    return 1
  }
}

free_port() { python3 -c 'import socket,sys; s=socket.socket(); s.bind((sys.argv[1],0)); print(s.getsockname()[1])' "${1:-127.0.0.1}"; }
opens() { (: <"/dev/tcp/${1%:*}/${1#*:}") 2>/dev/null; }

# start_upstream [FOLDER]: Debian's docker-registry behind the fault upstream, which adds what Docker Hub does. It has the test images
# and takes no others, or what is pushed to BACKEND into a folder of its own. Started again, it has the same.
start_upstream() {
  UPSTREAM_FOLDER=${1:-${UPSTREAM_FOLDER:-$CACHE/upstream}}
  BACKEND=${BACKEND:-127.0.0.1:$(free_port)}
  UPSTREAM=${UPSTREAM:-127.0.0.1:$(free_port)}
  CDN=${CDN:-127.0.0.2:$(free_port 127.0.0.2)}
  cat >"$WORK/upstream.yml" <<EOF
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: $UPSTREAM_FOLDER}
  maintenance: {readonly: {enabled: $([[ $UPSTREAM_FOLDER == "$CACHE"/* ]] && echo true || echo false)}}
http: {addr: "$BACKEND", relativeurls: true}
EOF
  start upstream docker-registry serve "$WORK/upstream.yml"
  await 20 "the upstream" opens "$BACKEND"
  start front "$FRONT" --listen "$UPSTREAM" --cdn "$CDN" --backend "http://$BACKEND" --tokens --redirect --hub-401
  await 20 "the upstream's front" opens "$UPSTREAM"
}

stop_upstream() {
  stop front
  stop upstream
}

# On ADDRESS, its data in WORK/data. Started again, it has the same address and data.
start_entrepot() {
  ADDRESS=${ADDRESS:-127.0.0.1:$(free_port)}
  SECURE=192.0.2.1:${ADDRESS#*:}
  cat >"$WORK/entrepot.toml" <<EOF
[server]
listen = ["$ADDRESS", "$SECURE"]
[storage]
data = "$WORK/data"
[[upstream]]
registry = "docker.io"
endpoints = ["http://$UPSTREAM"]
insecure = true
[auth]
admin_password = "$PASSWORD"
EOF
  start entrepot "$ENTREPOT" serve --config "$WORK/entrepot.toml"
  await 20 "entrepot" curl -fsS "http://$ADDRESS/readyz"
}

# follow HEADING: does what /connect says below this heading, in an /etc that is this script's own.
follow() {
  if ! findmnt --target /etc --types overlay --output SOURCE --noheadings | grep -qx entrepot-tests; then
    mkdir -p "$WORK/etc" "$WORK/etc-work"
    mount -t overlay entrepot-tests -o "lowerdir=/etc,upperdir=$WORK/etc,workdir=$WORK/etc-work" /etc
  fi
  curl -fsS "http://$SECURE/connect" >"$WORK/connect"
  (cd "$WORK" && lines_below "First get the certificate" | bash -ex && lines_below "$1" | sed -E 's/sudo //; /^ *(docker|podman) pull /d' | bash -ex)
}

# lines_below HEADING: the first indented block after it.
lines_below() { awk -v heading="$1" 'index($0, heading) == 1 {on = 1} on && /^  / {print; begun = 1} begun && /^$/ {exit}' "$WORK/connect"; }

restart_entrepot() {
  stop entrepot
  start_entrepot
}

# digest_at ADDRESS REPOSITORY REFERENCE [CURL OPTION…]: the digest that a HEAD tells.
digest_at() {
  local url="http://$1/v2/$2/manifests/$3"
  shift 3
  curl -fsS --head -H "$MANIFESTS" "$@" "$url" | tr -d '\r' | awk 'tolower($1) == "docker-content-digest:" {print $2}'
}

# crossed_once REPOSITORY TAG: upstream sent each blob of this image once, no more (an answer's text beside it is allowed for).
crossed_once() {
  local document digest size sent
  document=$(curl -fsS -H "$MANIFESTS" "http://$BACKEND/v2/$1/manifests/$2")
  jq -r '(.config, .layers[]) | "\(.digest) \(.size)"' <<<"$document" | while read -r digest size; do
    sent=$(curl -fsS "http://$UPSTREAM/_fault/stats" | jq --arg path "/v2/$1/blobs/$digest" '.bytes[$path] // 0')
    echo "$digest: $size bytes, sent $sent"
    ((sent >= size && sent < size + 400))
  done
}

upstream_digest() { digest_at "$BACKEND" "$1" "$2"; }

# token SCOPE [CURL OPTION…]
token() {
  local scope=$1
  shift
  curl -fsS --get "$@" --data-urlencode "service=entrepot" --data-urlencode "scope=$scope" "http://$ADDRESS/token" | jq -r '.token // .access_token'
}

# hosted REPOSITORY TAG: the image is in the hosted store, whole. A pusher's questions are answered from there alone.
hosted() {
  local bearer manifest blob
  bearer="Authorization: Bearer $(token "repository:$1:pull,push" -u "admin:$PASSWORD")"
  curl -fsS -u "admin:$PASSWORD" "http://$ADDRESS/v2/_catalog?source=hosted" | jq -e --arg name "$1" '.repositories | index($name) != null'
  manifest=$(digest_at "$ADDRESS" "$1" "$2" -H "$bearer")
  holds "$1" "$manifest" "$bearer"
}

# holds REPOSITORY DIGEST BEARER: the manifest, the children that are here, and every blob that they name.
holds() {
  local document blob child
  digest_at "$ADDRESS" "$1" "$2" -H "$3" >/dev/null
  document=$(curl -fsS -H "$MANIFESTS" -H "$3" "http://$ADDRESS/v2/$1/manifests/$2")
  same "digest of manifest $2" "$2" "sha256:$(printf %s "$document" | sha256sum | cut -d ' ' -f 1)"
  for child in $(jq -r '.manifests[]?.digest' <<<"$document"); do holds "$1" "$child" "$3"; done
  for blob in $(jq -r '(.config, .layers[]?) | .digest // empty' <<<"$document"); do
    curl -fsS --head -H "$3" "http://$ADDRESS/v2/$1/blobs/$blob" >/dev/null
  done
}
