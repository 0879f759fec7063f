#!/usr/bin/env bash
# Debian's skopeo (1.9 in Debian 12): copies, lists and deletes by the registry's own words.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/libpod.sh"
needs skopeo docker-registry

skopeo() { at_home skopeo "$@"; }
CREDENTIALS=
HERE=(--tls-verify=false)

# skopeo asks mirrors for images, never for lists of tags.
inspects() {
  same "digest" "$2" "$(skopeo inspect --no-tags "docker://$1" | jq -r .Digest)"
}

pulls_index() {
  rm -rf "$WORK/layout"
  skopeo copy --all docker://docker.io/library/multi:1 "oci:$WORK/layout:1"
}

pushes_index() {
  skopeo copy --all --dest-creds "$CREDENTIALS" --dest-tls-verify=false "oci:$WORK/layout:1" "docker://$ADDRESS/team/multi:1"
  hosted team/multi 1
  same "digest" "$MULTI" "$(skopeo inspect "${HERE[@]}" "docker://$ADDRESS/team/multi:1" | jq -r .Digest)"
}

# From the address to the address, so that nothing is kept here: the layers are mounted or already there.
pushes_back() {
  skopeo copy --all --src-tls-verify=false --dest-creds "$CREDENTIALS" --dest-tls-verify=false \
    "docker://$ADDRESS/$1:$2" "docker://$ADDRESS/$1:$2"
  hosted "$1" "$2"
}

copies_within() {
  skopeo copy --all --src-tls-verify=false --dest-creds "$CREDENTIALS" --dest-tls-verify=false \
    "docker://$ADDRESS/team/multi:1" "docker://$ADDRESS/team/second:2"
  hosted team/second 2
}

wrong_password() {
  refused skopeo copy --dest-creds admin:wrong --dest-tls-verify=false "oci:$WORK/layout:1" "docker://$ADDRESS/team/wrong:1"
}

lists_tags() {
  same "tags" "1" "$(skopeo list-tags "${HERE[@]}" "docker://$ADDRESS/team/multi" | jq -r '.Tags[]')"
  same "tags upstream" "12" "$(skopeo list-tags "${HERE[@]}" "docker://$ADDRESS/docker.io/library/debian" | jq -r '.Tags[]')"
}

deletes() {
  skopeo delete --creds "$CREDENTIALS" "${HERE[@]}" "docker://$ADDRESS/team/second:2"
  refused skopeo inspect "${HERE[@]}" "docker://$ADDRESS/team/second:2"
  skopeo inspect "${HERE[@]}" "docker://$ADDRESS/team/multi:1" >/dev/null
}

copies_securely() {
  refused skopeo inspect "docker://$SECURE/multi:1"
  follow "podman, buildah, skopeo"
  inspects "$SECURE/multi:1" "$MULTI"
  skopeo copy --all --src-creds "$CREDENTIALS" --dest-creds "$CREDENTIALS" "docker://$SECURE/multi:1" "docker://$SECURE/team/secured:1"
  hosted team/secured 1
}

pulls_all_again() {
  pulls_index
  inspects docker.io/library/debian:12 "$DEBIAN"
  rm -rf "$WORK/debian"
  skopeo copy docker://docker.io/library/debian:12 "dir:$WORK/debian"
  skopeo copy --all --src-tls-verify=false "docker://$ADDRESS/team/multi:1" "dir:$WORK/hosted"
}

start_upstream
start_entrepot
registries_conf
CREDENTIALS=admin:$PASSWORD
DEBIAN=$(upstream_digest library/debian 12)
MULTI=$(upstream_digest library/multi 1)

check "an image is inspected through registries.conf" inspects docker.io/library/debian:12 "$DEBIAN"
check "an image is copied through it" skopeo copy docker://docker.io/library/debian:12 "dir:$WORK/first"
check "an index is copied with all its platforms" pulls_index
check "a push with a wrong password is refused" wrong_password
check "an index is pushed with all its platforms" pushes_index
check "an index is copied to a second name" copies_within
check "what came from upstream is pushed back under the same name" pushes_back small 1
check "an index whose platforms came from upstream is pushed back" pushes_back multi 1
check "tags are listed, hosted and upstream" lists_tags
check "an image is deleted, and it alone" deletes
check "over HTTPS, once the CA is where /connect says, an image is copied" copies_securely
stop_upstream
check "everything is pulled again with the upstream stopped" pulls_all_again
restart_entrepot
check "everything is pulled again after a restart, the upstream still stopped" pulls_all_again
