# shellcheck shell=bash
# Sourced by the tests of the two generations of Docker: the daemon in a folder of its own, and the cases, alike for both.

DOCKER=/usr/bin/docker
[[ -x $DOCKER ]] || DOCKER=docker
DOCKER_SOCKET=$WORK/docker.sock
export DOCKER_CONFIG=$WORK/docker-config

docker() { timeout 180 "$DOCKER" --host "unix://$DOCKER_SOCKET" "$@"; }

# start_docker PROGRAM [JSON MEMBERS]: no bridge and no firewall rules, so it needs nothing from the machine's network.
start_docker() {
  cat >"$WORK/daemon.json" <<EOF
{"registry-mirrors": ["http://$ADDRESS"]${2:+, $2}}
EOF
  # Debian's docker speaks an older API than today's daemon takes by itself.
  DOCKER_MIN_API_VERSION=1.24 start dockerd "$1" --config-file "$WORK/daemon.json" --data-root "$WORK/docker" --exec-root "$WORK/docker-exec" \
    --pidfile "$WORK/docker.pid" --host "unix://$DOCKER_SOCKET" --containerd "$WORK/containerd.sock" \
    --bridge none --iptables=false --ip6tables=false
  await 60 dockerd docker version
}

forget_images() { docker system prune --all --force >/dev/null; }

# pulled IMAGE DIGEST: pulls, and what came is what the upstream has.
pulled() {
  docker pull "$1"
  docker image inspect "$1" --format '{{join .RepoDigests "\n"}}' | grep -F "@$2"
}

# Nothing here is about confinement, and a runc built without libseccomp refuses every profile.
runs() { docker run --rm --network none --security-opt seccomp=unconfined "$@"; }

prints() {
  local expected=$1
  shift
  same "output" "$expected" "$(runs "$@")"
}

log_in() { docker login --username admin --password-stdin "$ADDRESS" <<<"$1"; }

# pushes SOURCE REPOSITORY TAG: tags, pushes, and the hosted store has it whole.
pushes() {
  [[ $1 == "$ADDRESS/$2:$3" ]] || docker tag "$1" "$ADDRESS/$2:$3"
  docker push "$ADDRESS/$2:$3"
  hosted "$2" "$3"
}

pushes_back() {
  docker pull "$ADDRESS/$1:$2"
  pushes "$ADDRESS/$1:$2" "$1" "$2"
}

# pulls_hosted REPOSITORY TAG: what the server holds under this name, nothing kept here helping.
pulls_hosted() {
  forget_images
  pulled "$ADDRESS/$1:$2" "$(digest_at "$ADDRESS" "$1" "$2" -H "Authorization: Bearer $(token "repository:$1:pull")")"
}

pulls_all_again() {
  forget_images
  pulled debian:12 "$DEBIAN"
  pulled multi:1 "$MULTI"
  prints "entrepot tests" "$ADDRESS/team/app:1" cat /etc/made-by
  pulls_hosted team/base 1
  pulls_hosted team/second 1
}

logs_in_and_back_out() {
  refused log_in "wrong-password"
  log_in "$PASSWORD"
}

# finds TERM NAME: a search at the address names the repository.
finds() { docker search --format '{{.Name}}' "$ADDRESS/$1" | grep -Fx "$2"; }

# Before the CA is trusted nothing is said in the clear.
pulls_and_pushes_securely() {
  refused docker pull "$SECURE/multi:1"
  follow "Docker, without a restart"
  pulled "$SECURE/multi:1" "$MULTI"
  docker login --username admin --password-stdin "$SECURE" <<<"$PASSWORD"
  docker tag "$SECURE/multi:1" "$SECURE/team/secured:1"
  docker push "$SECURE/team/secured:1"
  curl -fsS -u "admin:$PASSWORD" "http://$ADDRESS/v2/team/secured/tags/list" | jq -e '.tags == ["1"]'
}

docker_cases() {
  DEBIAN=$(upstream_digest library/debian 12)
  MULTI=$(upstream_digest library/multi 1)
  SMALL=$(upstream_digest library/small 1)

  check "an image comes through registry-mirrors with the upstream's digest" pulled debian:12 "$DEBIAN"
  check "each of its blobs crossed the uplink once" crossed_once library/debian 12
  check "a pulled Debian runs" runs debian:12 cat /etc/debian_version
  check "a multi-platform tag comes through the mirror" pulled multi:1 "$MULTI"
  check "this machine's platform of it runs" prints "entrepot tests" multi:1 cat /etc/made-by
  check "an image comes from the address itself" pulled "$ADDRESS/small:1" "$SMALL"
  check "an image comes under its registry's name at the address" pulled "$ADDRESS/docker.io/library/small:1" "$SMALL"
  check "a name that exists nowhere is an error" refused docker pull "$ADDRESS/no/such:1"

  docker tag "$ADDRESS/small:1" "$ADDRESS/team/app:1" || true
  check "a push without log-in is refused" refused docker push "$ADDRESS/team/app:1"
  check "log-in fails with a wrong password and works with the right one" logs_in_and_back_out
  check "an image is pushed" pushes "$ADDRESS/small:1" team/app 1
  check "a large image is pushed" pushes debian:12 team/base 1
  check "the same image is pushed under a second name" pushes debian:12 team/second 1
  check "what was pulled through the address is pushed back under the same name" pushes_back small 1
  check "what was pushed is pulled" pulls_hosted team/app 1
  check "over HTTPS, once the CA is where /connect says, an image is pulled and pushed" pulls_and_pushes_securely
  check "docker search finds what was pushed" finds app team/app
  check "docker search finds what is cached" finds debian debian

  stop_upstream
  check "everything is pulled again with the upstream stopped" pulls_all_again
  check "docker search finds what is here with the upstream stopped" finds debian debian
  restart_entrepot
  check "everything is pulled again after a restart, the upstream still stopped" pulls_all_again
  check "what was pushed back is pulled with the upstream stopped" pulls_hosted small 1
  start_upstream
  check "with the upstream back it is asked again" pulled "$ADDRESS/docker.io/library/debian:12" "$DEBIAN"
  check "a multi-platform tag is pushed back under the same name" pushes_back multi 1
}
