#!/usr/bin/env bash
# regctl: artifacts with a subject, large blobs in chunks, copies with all that refers to them.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/artifacts.sh"
REGCTL=$CACHE/bin/regctl
needs "$REGCTL" docker-registry jq
TYPE=application/vnd.entrepot.tests
SBOM=application/spdx+json

regctl() { timeout 60 "$REGCTL" "$@"; }

logs_in_and_back_out() {
  refused regctl registry login --user admin --pass-stdin "$ADDRESS" <<<wrong-password
  regctl registry login --user admin --pass-stdin "$ADDRESS" <<<"$PASSWORD"
}

# put REGISTRY/NAME FILE
put() { regctl artifact put --artifact-type "$TYPE" --file "$WORK/$2" "$1"; }

# Sent by several PATCHes, each with the range of its chunk. What is here already would be mounted.
puts_in_chunks() {
  put "$ADDRESS/team/app:1" here.bin
  hosted team/app 1
  grep -E 'method="PATCH" path="/v2/team/app/blobs/uploads/[^"]*" status=202' "$WORK/entrepot.log"
}

# gets NAME FILE
gets() { regctl artifact get "$ADDRESS/$1" | cmp "$WORK/$2" -; }

attaches() {
  local subject digest
  subject=$(regctl manifest head "$ADDRESS/team/app:1")
  regctl artifact put --artifact-type "$SBOM" --subject "$ADDRESS/team/app:1" <"$WORK/sbom.json"
  digest=$(regctl artifact list --format '{{(index .Descriptors 0).Digest}}' "$ADDRESS/team/app:1")
  refers team/app "$subject" "$SBOM" "$digest"
}

finds() { regctl artifact get --subject "$ADDRESS/$1" --filter-artifact-type "$SBOM" | cmp "$WORK/sbom.json" -; }

copies() {
  regctl image copy --referrers "$ADDRESS/team/app:1" "$ADDRESS/team/copy:1"
  hosted team/copy 1
  finds team/copy:1
}

lists_and_deletes() {
  regctl image copy "$ADDRESS/team/copy:1" "$ADDRESS/team/copy:2"
  same "tags" "1 2" "$(regctl tag list "$ADDRESS/team/copy" | sort | xargs)"
  regctl tag delete "$ADDRESS/team/copy:2"
  same "tags" 1 "$(regctl tag list "$ADDRESS/team/copy")"
  gets team/copy:1 here.bin
}

gets_all_again() {
  gets docker.io/files/app:1 upstream.bin
  gets team/app:1 here.bin
  finds team/copy:1
}

artifact_servers
regctl registry set --tls disabled --skip-check "$BACKEND"
regctl registry set --tls disabled --skip-check --blob-max 1000000 --blob-chunk 1000000 "$ADDRESS"
for file in here.bin upstream.bin; do head -c 5000000 /dev/urandom >"$WORK/$file"; done
echo '{"spdxVersion": "SPDX-2.3"}' >"$WORK/sbom.json"
check "a file is put upstream" put "$BACKEND/files/app:1" upstream.bin

check "the upstream's file is got" gets docker.io/files/app:1 upstream.bin
check "a push without log-in is refused" refused put "$ADDRESS/team/app:1" here.bin
check "log-in fails with a wrong password and works with the right one" logs_in_and_back_out
check "a file is put in chunks" puts_in_chunks
check "a file that was put is got" gets team/app:1 here.bin
check "an SBOM is put with its subject, and listed" attaches
check "an SBOM is found by its subject" finds team/app:1
check "a file is copied with all that refers to it" copies
check "tags are listed, and one is deleted alone" lists_and_deletes
stop_upstream
restart_entrepot
check "everything is got again after a restart, the upstream stopped" gets_all_again
