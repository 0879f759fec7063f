#!/usr/bin/env bash
# What the protocol says on the wire: challenges, tokens, ranges, errors.
. "$(dirname "$0")/lib.sh"
needs curl jq openssl docker-registry

# status CURL OPTION…: the status alone.
status() { curl -sS -o "$WORK/body" -w '%{http_code}' "$@"; }

challenge() { curl -sS -o /dev/null -D - "$@" | tr -d '\r' | grep -i '^www-authenticate:'; }

challenges_with_bearer() {
  same "status" 401 "$(status "http://$ADDRESS/v2/")"
  challenge "http://$ADDRESS/v2/" | grep -F "Bearer realm=\"http://$ADDRESS/token\""
  curl -sS -o /dev/null -D - "http://$ADDRESS/v2/" | tr -d '\r' | grep -ix 'docker-distribution-api-version: registry/2.0'
}

tells_passwords_apart() {
  same "status with the right password" 200 "$(status -u "admin:$PASSWORD" "http://$ADDRESS/v2/")"
  same "status with a wrong one" 401 "$(status -u admin:wrong "http://$ADDRESS/v2/")"
  same "status of a token asked with a wrong one" 401 "$(status -u admin:wrong "http://$ADDRESS/token?service=entrepot")"
}

# Over HTTPS, at the address that is no loopback.
whole_securely() { SCHEME=https ADDRESS=$SECURE whole "$@" --cacert "$WORK/ca.crt"; }

# whole REPOSITORY TAG CURL OPTION…: an image by hand, each body against its digest.
whole() {
  local name=$1 tag=$2 blob
  shift 2
  curl -fsS -H "$MANIFESTS" "$@" "${SCHEME:-http}://$ADDRESS/v2/$name/manifests/$tag" >"$WORK/manifest"
  same "digest of the manifest" "$DEBIAN" "sha256:$(sha256sum <"$WORK/manifest" | cut -d ' ' -f 1)"
  for blob in $(jq -r '.config.digest, .layers[].digest' "$WORK/manifest"); do
    same "digest of a blob" "$blob" "sha256:$(curl -fsS "$@" "${SCHEME:-http}://$ADDRESS/v2/$name/blobs/$blob" | sha256sum | cut -d ' ' -f 1)"
  done
}

pulls_with_anonymous_token() { whole library/debian 12 -H "Authorization: Bearer $(token repository:library/debian:pull)"; }

# A token of somebody else's registry is no reason to refuse what is open to all.
pulls_with_foreign_password() { whole library/debian 12 -u somebody:foreign; }

answers_ranges() {
  local blob
  blob=$(jq -r '.layers[0].digest' "$WORK/manifest")
  same "status" 206 "$(status -r 1000-1999 "http://$ADDRESS/v2/library/debian/blobs/$blob")"
  same "length" 1000 "$(stat -c %s "$WORK/body")"
  curl -fsS "http://$ADDRESS/v2/library/debian/blobs/$blob" >"$WORK/whole"
  cmp --ignore-initial 1000:0 --bytes 1000 "$WORK/whole" "$WORK/body"
}

head_is_challenged() {
  same "status" 401 "$(status --head "http://$ADDRESS/v2/library/debian/manifests/12")"
  challenge --head "http://$ADDRESS/v2/library/debian/manifests/12" | grep -F 'scope="repository:library/debian:pull"'
}

push_is_challenged() {
  same "status" 401 "$(status -X POST "http://$ADDRESS/v2/team/app/blobs/uploads/")"
  challenge -X POST "http://$ADDRESS/v2/team/app/blobs/uploads/" | grep -E 'scope="repository:team/app:(pull,push|push,pull)"'
  same "status with an anonymous token" 401 \
    "$(status -X POST -H "Authorization: Bearer $(token repository:team/app:pull,push)" "http://$ADDRESS/v2/team/app/blobs/uploads/")"
}

unknown_is_json() {
  same "status" 404 "$(status "http://$ADDRESS/v2/no/such/manifests/1")"
  jq -e '.errors[0] | .code and (.message | length > 0)' "$WORK/body"
}

# secured CURL OPTION…: at the address that is no loopback, with the CA that /connect gives.
secured() {
  [[ -f $WORK/ca.crt ]] || curl -fsSo "$WORK/ca.crt" "http://$SECURE/connect/ca.crt"
  curl -sS --cacert "$WORK/ca.crt" "$@"
}

one_port_speaks_both() {
  same "without the CA" 000 "$(status "https://$SECURE/healthz" || true)"
  same "over HTTPS" "200 2" "$(secured -o /dev/null -w '%{http_code} %{http_version}' "https://$SECURE/healthz")"
  same "over HTTPS with HTTP/1.1" "200 1.1" "$(secured --http1.1 -o /dev/null -w '%{http_code} %{http_version}' "https://$SECURE/healthz")"
  same "with TLS 1.2" 200 "$(secured --tls-max 1.2 -o /dev/null -w '%{http_code}' "https://$SECURE/healthz")"
  same "over HTTP" 200 "$(status "http://$SECURE/healthz")"
  secured -o /dev/null -D - "https://$SECURE/v2/" | grep -F "realm=\"https://$SECURE/token\""
}

# An authority for clients and a certificate of one, named ci.
make_client_certificate() {
  local key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
  openssl req -x509 "${key[@]}" -keyout "$WORK/clients.key" -out "$WORK/clients.crt" -days 2 -subj "/CN=clients"
  openssl req "${key[@]}" -keyout "$WORK/ci.key" -out "$WORK/ci.csr" -subj "/CN=ci"
  openssl x509 -req -in "$WORK/ci.csr" -CA "$WORK/clients.crt" -CAkey "$WORK/clients.key" -CAcreateserial -days 2 -out "$WORK/ci.crt" \
    -extfile <(echo extendedKeyUsage=clientAuth)
} 2>/dev/null

a_client_certificate_is_a_log_in() {
  same "a push without it" 401 "$(secured -o /dev/null -w '%{http_code}' -X POST "https://$SECURE/v2/team/ci/blobs/uploads/")"
  same "a push with it" 202 \
    "$(secured --cert "$WORK/ci.crt" --key "$WORK/ci.key" -o /dev/null -w '%{http_code}' -X POST "https://$SECURE/v2/team/ci/blobs/uploads/")"
}

# The head of a record and of a hello: what a client that tries TLS first sends.
answers_a_tls_hello() {
  local host=${ADDRESS%:*} port=${ADDRESS#*:}
  exec 3<>"/dev/tcp/$host/$port"
  printf '\x16\x03\x01\x00\x2e\x01\x00\x00\x2a\x03\x03%039d' 0 >&3
  timeout 5 head -c 12 <&3 | grep -F 'HTTP/1.1 400'
}

outage_is_no_absence() {
  status "http://$ADDRESS/v2/library/never-asked/manifests/1" >"$WORK/status"
  grep -E '^50[234]$' "$WORK/status"
  grep -F docker.io "$WORK/body"
}

start_upstream
make_client_certificate
export ENTREPOT_SERVER__TLS__CLIENT_CA=$WORK/clients.crt
start_entrepot
DEBIAN=$(upstream_digest library/debian 12)
check "the front page tells what to do next" grep -F docker <(curl -fsS "http://$ADDRESS/")
check "/v2/ is challenged with Bearer" challenges_with_bearer
check "right and wrong passwords are told apart" tells_passwords_apart
check "an image is pulled with an anonymous token" pulls_with_anonymous_token
check "an image is pulled with somebody else's password" pulls_with_foreign_password
check "a part of a blob is answered with that part" answers_ranges
check "HEAD without credentials is challenged" head_is_challenged
check "a push without credentials is challenged, and an anonymous token is not enough" push_is_challenged
check "an unknown name is an error in the registry's JSON form" unknown_is_json
check "one port speaks HTTP and HTTPS" one_port_speaks_both
check "an image is pulled over HTTPS" whole_securely library/debian 12
check "a client's certificate is a log-in" a_client_certificate_is_a_log_in
stop_upstream
check "an outage is not answered as not found" outage_is_no_absence
check "a cached image is served with the upstream stopped" whole library/debian 12
restart_entrepot
check "a cached image is served after a restart, the upstream still stopped" whole library/debian 12
unset ENTREPOT_SERVER__TLS__CLIENT_CA
export ENTREPOT_SERVER__TLS__MODE=off
restart_entrepot
check "without TLS a hello is answered with HTTP 400 at once" answers_a_tls_hello
