#!/usr/bin/env bash
# crane, and with it the library by which cosign, ko and many others speak to registries.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/artifacts.sh"
CRANE=$CACHE/bin/crane
needs "$CRANE" docker-registry jq

crane() { timeout 60 "$CRANE" "$@"; }

log_in() { crane auth login "$ADDRESS" --username admin --password "$1"; }

# crane itself asks nobody whether a password is right.
logs_in() {
  log_in wrong-password
  refused crane append --new_layer "$WORK/layer.tar" --new_tag "$ADDRESS/team/app:1"
  log_in "$PASSWORD"
}

# made REGISTRY/NAME: an image of one layer.
made() { crane append --new_layer "$WORK/layer.tar" --new_tag "$1"; }

made_here() {
  made "$ADDRESS/$1:$2"
  hosted "$1" "$2"
}

# pulls NAME: every part against its digest, and the file as it was packed.
pulls() {
  crane validate --remote "$ADDRESS/$1"
  crane export "$ADDRESS/$1" - | tar -xO file | cmp "$WORK/file" -
}

same_digest() { same "digest" "$(crane digest "$BACKEND/$1")" "$(crane digest "$ADDRESS/$2")"; }

copies() {
  crane copy "$ADDRESS/docker.io/images/app:1" "$ADDRESS/team/copy:1"
  hosted team/copy 1
}

# Changed by the client itself: a second manifest, and the layers mounted.
annotates() {
  crane mutate --annotation made-by=tests --tag "$ADDRESS/team/copy:2" "$ADDRESS/team/copy:1"
  same "annotation" tests "$(crane manifest "$ADDRESS/team/copy:2" | jq -r '.annotations["made-by"]')"
}

lists() {
  same "tags" "1 2" "$(crane ls "$ADDRESS/team/copy" | sort | xargs)"
  crane catalog "$ADDRESS" | grep -x team/copy
}

tags_and_deletes() {
  crane tag "$ADDRESS/team/app:1" latest
  same "digest" "$(crane digest "$ADDRESS/team/app:1")" "$(crane digest "$ADDRESS/team/app:latest")"
  crane delete "$ADDRESS/team/copy@$(crane digest "$ADDRESS/team/copy:2")"
  refused crane manifest "$ADDRESS/team/copy:2"
  same "tags" 1 "$(crane ls "$ADDRESS/team/copy")"
}

pulls_all_again() {
  pulls docker.io/images/app:1
  pulls team/app:latest
  pulls team/copy:1
}

artifact_servers
head -c 3000000 /dev/urandom >"$WORK/file"
tar -C "$WORK" --numeric-owner --owner 0 --group 0 -cf "$WORK/layer.tar" file
check "an image is made upstream" made "$BACKEND/images/app:1"

check "the upstream's image is pulled" pulls docker.io/images/app:1
check "the digest is the upstream's" same_digest images/app:1 images/app:1
check "a push without log-in is refused" refused made "$ADDRESS/team/app:1"
check "a push with a wrong password is refused, and log-in works with the right one" logs_in
check "an image is made and pushed" made_here team/app 1
check "the upstream's image is copied into a repository here" copies
check "an image is changed and pushed again" annotates
check "tags and repositories are listed" lists
check "a tag is moved, an image deleted, and it alone" tags_and_deletes
stop_upstream
restart_entrepot
check "everything is pulled again after a restart, the upstream stopped" pulls_all_again
