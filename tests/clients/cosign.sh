#!/usr/bin/env bash
# Signatures as cosign keeps them, by its very requests: under a tag made of the digest, and as a referrer. The keys and the
# checking are real (openssl).
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/artifacts.sh"
needs curl jq openssl docker-registry
IMAGE=application/vnd.oci.image.manifest.v1+json
SIMPLE=application/vnd.dev.cosign.simplesigning.v1+json
SIGNATURE=application/vnd.dev.cosign.artifact.sig.v1+json

sha256() { echo "sha256:$(sha256sum <"$1" | cut -d ' ' -f 1)"; }

# authorization NAME: the header for pushing there. The upstream's backend, which asks for none, does not mind it.
authorization() { echo "Authorization: Bearer $(token "repository:$1:pull,push" -u "admin:$PASSWORD")"; }

# put_blob REGISTRY NAME FILE: asks, opens an upload, sends, and ends it in a request of its own.
put_blob() {
  local digest header location url="http://$1/v2/$2/blobs"
  digest=$(sha256 "$3")
  header=$(authorization "$2")
  ! curl -fsS --head -H "$header" "$url/$digest" >/dev/null 2>&1 || return 0
  location=$(curl -fsS -X POST -H "$header" -D - -o /dev/null "$url/uploads/" | located "$1")
  location=$(curl -fsS -X PATCH -H "$header" -H "Content-Type: application/octet-stream" --data-binary "@$3" -D - -o /dev/null "$location" | located "$1")
  [[ $location == *\?* ]] && location+="&" || location+="?"
  curl -fsS -X PUT -H "$header" "${location}digest=${digest/:/%3A}"
}

# located REGISTRY: the Location of the headers on standard input, whole.
located() { tr -d '\r' | awk -v registry="http://$1" 'tolower($1) == "location:" {print ($2 ~ /^http/ ? "" : registry) $2}'; }

# put_manifest REGISTRY NAME REFERENCE FILE: prints the headers of the answer.
put_manifest() {
  curl -fsS -X PUT -H "$(authorization "$2")" -H "Content-Type: $IMAGE" --data-binary "@$4" -D - -o /dev/null "http://$1/v2/$2/manifests/$3"
}

descriptor() { jq -nc --arg type "$1" --arg digest "$(sha256 "$2")" --argjson size "$(stat -c %s "$2")" '{mediaType: $type, digest: $digest, size: $size}'; }

# put_image REGISTRY NAME TAG: what is to be signed.
put_image() {
  echo '{"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}' >"$WORK/config"
  put_blob "$1" "$2" "$WORK/config"
  jq -nc --arg type "$IMAGE" --argjson config "$(descriptor application/vnd.oci.image.config.v1+json "$WORK/config")" --arg name "$2" \
    '{schemaVersion: 2, mediaType: $type, config: $config, layers: [], annotations: {name: $name}}' >"$WORK/image"
  put_manifest "$1" "$2" "$3" "$WORK/image"
}

# signature REGISTRY NAME DIGEST [SUBJECT]: the payload signed and put, and a manifest that carries both, in WORK/signature.
signature() {
  jq -nc --arg name "$2" --arg digest "$3" \
    '{critical: {identity: {"docker-reference": $name}, image: {"docker-manifest-digest": $digest}, type: "cosign container image signature"}, optional: null}' \
    >"$WORK/payload"
  openssl dgst -sha256 -sign "$WORK/key" -out "$WORK/signed" "$WORK/payload"
  put_blob "$1" "$2" "$WORK/payload"
  put_blob "$1" "$2" "$WORK/config"
  jq -nc --arg type "$IMAGE" --arg artifact "$SIGNATURE" --arg signed "$(base64 -w 0 "$WORK/signed")" --argjson subject "${4:-null}" \
    --argjson config "$(descriptor application/vnd.oci.image.config.v1+json "$WORK/config")" --argjson payload "$(descriptor "$SIMPLE" "$WORK/payload")" \
    '{schemaVersion: 2, mediaType: $type, config: $config, layers: [$payload + {annotations: {"dev.cosignproject.cosign/signature": $signed}}]}
      + if $subject then {artifactType: $artifact, subject: $subject} else {} end' >"$WORK/signature"
}

# digest_here NAME TAG: of the image itself, pulled.
digest_here() {
  curl -fsS -H "$MANIFESTS" "http://$ADDRESS/v2/$1/manifests/$2" >"$WORK/pulled"
  sha256 "$WORK/pulled"
}

# signs_by_tag REGISTRY NAME DIGEST
signs_by_tag() {
  signature "$1" "$2" "$3"
  put_manifest "$1" "$2" "${3/:/-}.sig" "$WORK/signature"
}

# signs_as_referrer NAME TAG: the answer names the subject, so the client need keep no list.
signs_as_referrer() {
  local digest subject
  digest=$(digest_here "$1" "$2")
  subject=$(jq -nc --arg type "$IMAGE" --arg digest "$digest" --argjson size "$(stat -c %s "$WORK/image")" '{mediaType: $type, digest: $digest, size: $size}')
  signature "$ADDRESS" "$1" "$digest" "$subject"
  put_manifest "$ADDRESS" "$1" "$(sha256 "$WORK/signature")" "$WORK/signature" | tr -d '\r' | grep -ix "oci-subject: $digest"
  refers "$1" "$digest" "$SIGNATURE" "$(sha256 "$WORK/signature")"
}

# verified NAME MANIFEST DIGEST: the manifest's payload is signed with the key, and says this digest.
verified() {
  local layer
  layer=$(jq -r '.layers[0].digest' "$2")
  curl -fsS "http://$ADDRESS/v2/$1/blobs/$layer" >"$WORK/came"
  same "digest of the payload" "$layer" "$(sha256 "$WORK/came")"
  jq -r '.layers[0].annotations["dev.cosignproject.cosign/signature"]' "$2" | base64 -d >"$WORK/came.signed"
  openssl dgst -sha256 -verify "$WORK/key.public" -signature "$WORK/came.signed" "$WORK/came"
  same "what is signed" "$3" "$(jq -r '.critical.image["docker-manifest-digest"]' "$WORK/came")"
}

verifies_by_tag() {
  local digest
  digest=$(digest_here "$1" "$2")
  curl -fsS -H "$MANIFESTS" "http://$ADDRESS/v2/$1/manifests/${digest/:/-}.sig" >"$WORK/found"
  verified "$1" "$WORK/found" "$digest"
}

verifies_as_referrer() {
  local digest signature
  digest=$(digest_here "$1" "$2")
  signature=$(curl -fsS "http://$ADDRESS/v2/$1/referrers/$digest?artifactType=${SIGNATURE/+/%2B}" | jq -r '.manifests[0].digest')
  curl -fsS -H "$MANIFESTS" "http://$ADDRESS/v2/$1/manifests/$signature" >"$WORK/found"
  same "digest of the signature" "$signature" "$(sha256 "$WORK/found")"
  verified "$1" "$WORK/found" "$digest"
}

refuses_another_key() {
  verifies_by_tag "$1" "$2"
  openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout -out "$WORK/other.public"
  refused openssl dgst -sha256 -verify "$WORK/other.public" -signature "$WORK/came.signed" "$WORK/came"
}

verifies_all_again() {
  verifies_by_tag docker.io/signed/app 1
  verifies_by_tag team/app 1
  verifies_as_referrer team/app 1
}

artifact_servers
openssl ecparam -name prime256v1 -genkey -noout -out "$WORK/key"
openssl ec -in "$WORK/key" -pubout -out "$WORK/key.public" 2>/dev/null
check "an image is put upstream" put_image "$BACKEND" signed/app 1
check "it is signed upstream" signs_by_tag "$BACKEND" signed/app "$(upstream_digest signed/app 1)"
check "the upstream's image is verified by the signature's tag" verifies_by_tag docker.io/signed/app 1
check "it is verified at the address itself" verifies_by_tag signed/app 1
check "an image is put here" put_image "$ADDRESS" team/app 1
check "it is signed by the tag scheme" signs_by_tag "$ADDRESS" team/app "$(digest_here team/app 1)"
check "it is verified by the signature's tag" verifies_by_tag team/app 1
check "it is signed as a referrer, and the answer names its subject" signs_as_referrer team/app 1
check "it is verified by the list of referrers" verifies_as_referrer team/app 1
stop_upstream
restart_entrepot
check "everything is verified again after a restart, the upstream stopped" verifies_all_again
check "nothing is verified with another key" refuses_another_key team/app 1
