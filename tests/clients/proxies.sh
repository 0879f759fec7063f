#!/usr/bin/env bash
# Behind nginx, Caddy and HAProxy: the examples of deploy/, the set-ups that tutorials show, and requests with two ends.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/libpod.sh"
. "$(dirname "$0")/containerd.sh"
. "$(dirname "$0")/docker.sh"
needs nginx caddy haproxy skopeo curl jq openssl python3 dockerd containerd docker-registry

DEPLOY=$(dirname "$0")/../../deploy
skopeo() { at_home skopeo "$@"; }

# nginx_with NAME PORT TEXT: nginx with this inside of `http`.
nginx_with() {
  mkdir -p "$WORK/$1"
  cat >"$WORK/$1.conf" <<EOT
daemon off;
user root;
pid $WORK/$1/pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path $WORK/$1/body;
  proxy_temp_path $WORK/$1/proxy;
  fastcgi_temp_path $WORK/$1/fastcgi;
  uwsgi_temp_path $WORK/$1/uwsgi;
  scgi_temp_path $WORK/$1/scgi;
$3
}
EOT
  start "$1" nginx -e stderr -p "$WORK/$1" -c "$WORK/$1.conf"
  await 20 "$1" opens "$2"
}

# plain_proxy LISTEN TARGET HOST: a server as tutorials write it.
plain_proxy() {
  cat <<EOT
server {
  listen $1;
  client_max_body_size 0;
  location / {
    proxy_pass http://$2;
    proxy_http_version 1.1;
    proxy_request_buffering off;
    proxy_set_header Host $3;
    proxy_set_header X-Real-IP \$remote_addr;
    proxy_set_header X-Forwarded-For \$proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto \$scheme;
  }
}
EOT
}

# make_image: an image with one layer of 20 MB that nobody has, as an OCI layout.
make_image() {
  local layout=$WORK/image layer config manifest
  mkdir -p "$layout/blobs/sha256"
  head -c 20000000 /dev/urandom >"$WORK/random"
  tar --create --file "$WORK/layer.tar" --directory "$WORK" random
  # Or skopeo would compress it.
  gzip --fast --no-name --keep "$WORK/layer.tar"
  layer=$(blob "$WORK/layer.tar.gz")
  jq -n --arg layer "sha256:$(sha256sum <"$WORK/layer.tar" | cut -d ' ' -f 1)" '{architecture: "amd64", os: "linux", config: {}, rootfs: {type: "layers", diff_ids: [$layer]}}' >"$WORK/config.json"
  config=$(blob "$WORK/config.json")
  jq -n --arg config "sha256:$config" --arg layer "sha256:$layer" --argjson sizes "[$(stat -c %s "$WORK/config.json"),$(stat -c %s "$WORK/layer.tar.gz")]" \
    '{schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: {mediaType: "application/vnd.oci.image.config.v1+json", digest: $config, size: $sizes[0]},
      layers: [{mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: $layer, size: $sizes[1]}]}' >"$WORK/manifest.json"
  manifest=$(blob "$WORK/manifest.json")
  IMAGE=sha256:$manifest
  echo '{"imageLayoutVersion": "1.0.0"}' >"$layout/oci-layout"
  jq -n --arg digest "$IMAGE" --argjson size "$(stat -c %s "$WORK/manifest.json")" \
    '{schemaVersion: 2, manifests: [{mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $digest, size: $size,
      annotations: {"org.opencontainers.image.ref.name": "1"}}]}' >"$layout/index.json"
}

blob() {
  local digest
  digest=$(sha256sum <"$1" | cut -d ' ' -f 1)
  cp "$1" "$WORK/image/blobs/sha256/$digest"
  echo "$digest"
}

# verify [tls]: how skopeo and curl check the proxy's certificate.
verify() {
  SKOPEO_VERIFY=(--tls-verify=false)
  CURL_VERIFY=()
  SCHEME=http
  [[ ${1:-} == tls ]] || return 0
  SKOPEO_VERIFY=(--cert-dir "$WORK/certs")
  CURL_VERIFY=(--cacert "$WORK/certs/ca.crt")
  SCHEME=https
}

realm() { curl -sS -o /dev/null -D - "${CURL_VERIFY[@]}" "$SCHEME://$1/v2/" | tr -d '\r' | sed -n 's/^www-authenticate: Bearer realm="\([^"]*\)".*/\1/Ip'; }

# flows AT NAME: login, push and pull of 20 MB, by skopeo and by docker.
flows() {
  local at=$1 name=$2
  same "realm" "$SCHEME://$at/token" "$(realm "$at")"
  skopeo login "${SKOPEO_VERIFY[@]}" --username admin --password "$PASSWORD" "$at"
  skopeo copy "${SKOPEO_VERIFY[@]/#--/--dest-}" "oci:$WORK/image:1" "docker://$at/$name:1"
  same "digest" "$IMAGE" "$(skopeo inspect "${SKOPEO_VERIFY[@]}" --raw "docker://$at/$name:1" | sha256sum | sed 's/\(.*\)  -/sha256:\1/')"
  rm -rf "$WORK/back" "$WORK/small"
  skopeo copy "${SKOPEO_VERIFY[@]/#--/--src-}" "docker://$at/$name:1" "dir:$WORK/back"
  cmp "$WORK/layer.tar.gz" "$WORK/back/$(sha256sum <"$WORK/layer.tar.gz" | cut -d ' ' -f 1)"
  skopeo copy "${SKOPEO_VERIFY[@]/#--/--src-}" "docker://$at/docker.io/library/small:1" "dir:$WORK/small"
}

docker_flows() {
  local at=$1 name=$2
  docker login --username admin --password-stdin "$at" <<<"$PASSWORD"
  docker pull "$at/$name:1"
  docker import "$WORK/layer.tar" "$at/$name:docker"
  docker push "$at/$name:docker"
  forget_images
  docker pull "$at/$name:docker"
  forget_images
}

# through SENTENCE AT NAME
through() {
  check "$1: skopeo logs in, pushes and pulls" flows "$2" "$3"
  check "$1: docker logs in, pushes and pulls" docker_flows "$2" "$3"
}

fails_without_external_url() {
  local port=${2##*:}
  same "realm" "http://127.0.0.1:$port/token" "$(realm "$1")"
  refused skopeo login "${SKOPEO_VERIFY[@]}" --username admin --password "$PASSWORD" "$1"
  # The log may need a moment.
  for _ in {1..50}; do grep -q "log in at http://127.0.0.1:$port/token" "$WORK/entrepot.log" && break || sleep 0.1; done
  same "warnings" 1 "$(grep -c "log in at http://127.0.0.1:$port/token.*server.external_url" "$WORK/entrepot.log")"
}

knows_the_client() { grep -F '"push"' "$WORK/audit" | tail -n 1 | jq -e '.client == "127.0.0.9"'; }

pushes_from_elsewhere() {
  curl -fsS "${CURL_VERIFY[@]}" --interface 127.0.0.9 -u "admin:$PASSWORD" -X PUT -H 'X-Forwarded-For: 192.0.2.1' -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' \
    --data-binary "@$WORK/manifest.json" "$SCHEME://$1/v2/$2/manifests/2"
  knows_the_client
}

# one_answer_each AT: requests whose end two readers could see in different places. (One is asked directly alone: a length of 2^64, which
# HAProxy 2.6 takes for none, so that what follows is a request to HAProxy itself.)
one_answer_each() {
  python3 - "$1" <<'EOT'
import socket, sys
host, port = sys.argv[1].split(":")
hidden = "GET /v2/hidden/tags/list HTTP/1.1\r\nHost: hidden\r\n\r\n"
n = len(hidden)
post = lambda lines, body: f"POST /token HTTP/1.1\r\nHost: x\r\n{lines}\r\n{body}"
chunked = f"{n:x}\r\n{hidden}\r\n0\r\n\r\n"
vectors = [post(lines, body)
    for lines in [f"Content-Length: {n + 5}\r\nTransfer-Encoding: chunked\r\n", f"Transfer-Encoding: chunked\r\nContent-Length: {n + 5}\r\n",
                  f"Content-Length: {n + 5}\r\nTransfer-Encoding: xchunked\r\n", f"Content-Length: {n + 5}\r\nTransfer-Encoding : chunked\r\n",
                  f"Content-Length: {n + 5}\r\nTransfer-Encoding:\r\n chunked\r\n", f"Content-Length: {n + 5}\r\nTransfer-Encoding: \x0bchunked\r\n"]
    for body in [f"0\r\n\r\n{hidden}", chunked]]
vectors = [v for v in vectors if not (chunked in v and "xchunked" in v)]
vectors += [post(f"Content-Length: 0\r\nContent-Length: {n}\r\n", hidden), post(f"Content-Length: {n}\r\nContent-Length: 0\r\n", hidden)]
vectors += [post(f"Content-Length: {value}\r\n", hidden) for value in [f"+{n}", f"0x{n:x}", f"0, {n}", "1e1"]]
vectors += [post("Transfer-Encoding: chunked\r\n", f"{size}\r\n{hidden}\r\n0\r\n\r\n") for size in [f"+{n:x}", f"0x{n:x}", f"FFFFFFFFFFFFFFFF{n:x}"]]
wrong = 0
for vector in vectors:
    said = b""
    with socket.create_connection((host, int(port)), timeout=3) as client:
        client.sendall(vector.encode())
        try:
            while piece := client.recv(65536):
                said += piece
        except (TimeoutError, ConnectionResetError):
            pass
    if said.count(b"HTTP/1.1 ") > 1 or b"hidden" in said:
        wrong += 1
        print(vector, said.decode(errors="replace"), sep="\n")
print(len(vectors), "requests,", wrong, "wrong")
sys.exit(wrong > 0)
EOT
  if grep -F 'hidden' "$WORK/entrepot.log"; then return 1; fi
}

start_upstream
start_entrepot
registries_conf
make_image
start_containerd containerd
start_docker dockerd

verify
AT=127.0.0.1:$(free_port)
nginx_with loopback "$AT" "$(plain_proxy "$AT" "$ADDRESS" '$http_host')"
through "a proxy that keeps Host with its port" "$AT" team/loopback
check "nginx in front: one answer to one request" one_answer_each "$AT"

HAPROXY=127.0.0.1:$(free_port)
cat >"$WORK/haproxy.cfg" <<EOT
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen registry
  bind $HAPROXY
  option forwardfor
  server entrepot $ADDRESS
EOT
start haproxy haproxy -db -f "$WORK/haproxy.cfg"
await 20 haproxy opens "$HAPROXY"
through "haproxy" "$HAPROXY" team/haproxy
check "haproxy in front: one answer to one request" one_answer_each "$HAPROXY"

# As tutorials put Nexus' group repository and its hosted one behind one name.
AT=127.0.0.1:$(free_port)
nginx_with two-ways "$AT" "upstream group { server $ADDRESS; }
upstream hosted { server $ADDRESS; }
map \$request_method \$member { default hosted; GET group; HEAD group; }
$(plain_proxy "$AT" '$member' '$http_host')"
through "two upstreams, one for GET and HEAD" "$AT" team/two-ways

# As in a container: the port that it is published on is another one than nginx knows.
AT=127.0.0.1:$(free_port)
INNER=127.0.0.2:$(free_port 127.0.0.2)
restart_entrepot
nginx_with inner "$AT" "$(plain_proxy "$AT" "$INNER" '$http_host')
$(plain_proxy "$INNER" "$ADDRESS" '$host:$server_port')"
check "a proxy that passes its inner port on: fails, and the log says why" fails_without_external_url "$AT" "$INNER"
stop entrepot
ENTREPOT_SERVER__EXTERNAL_URL=http://$AT start_entrepot
through "a proxy that passes its inner port on, with external_url" "$AT" team/inner

mkdir -p "$WORK/certs"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=registry -addext subjectAltName=IP:127.0.0.1 \
  -keyout "$WORK/tls.key" -out "$WORK/certs/ca.crt" 2>"$WORK/openssl.log"
verify tls

AT=127.0.0.1:$(free_port)
stop entrepot
export ENTREPOT_SERVER__TRUSTED_PROXIES=127.0.0.1 ENTREPOT_LOG__AUDIT=$WORK/audit
ENTREPOT_SERVER__EXTERNAL_URL=https://$AT start_entrepot
nginx_with deployed "$AT" "$(sed "s|listen 443|listen $AT|; s|server 127.0.0.1:5000|server $ADDRESS|; s|/etc/nginx/registry.example.com.crt|$WORK/certs/ca.crt|
  s|/etc/nginx/registry.example.com.key|$WORK/tls.key|" "$DEPLOY/nginx.conf")"
through "deploy/nginx.conf" "$AT" team/nginx
check "deploy/nginx.conf: the client is known by his address" pushes_from_elsewhere "$AT" team/nginx

AT=127.0.0.1:$(free_port)
stop entrepot
ENTREPOT_SERVER__EXTERNAL_URL=https://$AT start_entrepot
{
  printf '{\n\tadmin off\n\tauto_https off\n}\n'
  sed "s|^registry.example.com {|https://$AT {\n\ttls $WORK/certs/ca.crt $WORK/tls.key|; s|127.0.0.1:5000 {|$ADDRESS {|" "$DEPLOY/Caddyfile"
} >"$WORK/Caddyfile"
XDG_DATA_HOME=$WORK/caddy XDG_CONFIG_HOME=$WORK/caddy start caddy caddy run --adapter caddyfile --config "$WORK/Caddyfile"
await 20 caddy opens "$AT"
through "deploy/Caddyfile" "$AT" team/caddy
check "deploy/Caddyfile: the client is known by his address" pushes_from_elsewhere "$AT" team/caddy

# Without external_url the trusted proxy tells how it was reached.
stop entrepot
start_entrepot
through "deploy/Caddyfile without external_url" "$AT" team/forwarded
