#!/usr/bin/env bash
# ORAS: files as artifacts, and what is attached to them: an SBOM, found by the list of referrers and by the tag scheme.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/artifacts.sh"
ORAS=$CACHE/bin/oras
needs "$ORAS" docker-registry jq
SBOM=application/spdx+json
TYPE=application/vnd.entrepot.tests

oras() { timeout 60 "$ORAS" "$@"; }

logs_in_and_back_out() {
  refused oras login --plain-http --username admin --password wrong-password "$ADDRESS"
  oras login --plain-http --username admin --password-stdin "$ADDRESS" <<<"$PASSWORD"
}

# pushed REGISTRY/NAME: two files, one of them large enough to be sent in pieces.
pushed() {
  cd "$WORK/files"
  oras push --plain-http --artifact-type "$TYPE" "$1" note.txt:text/plain large.bin
}

pushes() {
  pushed "$ADDRESS/$1:$2"
  hosted "$1" "$2"
}

# pulls NAME: every byte as it was pushed.
pulls() {
  local into
  into=$(mktemp -d "$WORK/pulled-XXXX")
  oras pull --plain-http --output "$into" "$ADDRESS/$1"
  diff -r "$WORK/files" "$into"
}

digest_of() { oras manifest fetch --plain-http --descriptor "$1" | jq -r .digest; }

# attached SCHEME REGISTRY/NAME FILE: prints the digest of what was attached. By the registry's own list, or by a tag of the client's making.
attached() {
  cd "$WORK/attached"
  oras attach --plain-http --distribution-spec "v1.1-referrers-$1" --artifact-type "$SBOM" --annotation "made-by=entrepot tests" \
    --format json "$2" "$3:$SBOM" | jq -r .digest
}

# discovered SCHEME NAME: the digests of the SBOMs, one to a line.
discovered() {
  oras discover --plain-http --depth 1 --distribution-spec "v1.1-referrers-$1" --artifact-type "$SBOM" --format json "$ADDRESS/$2" |
    jq -r '(.referrers // .manifests)[].digest'
}

attaches() {
  local digest
  digest=$(attached api "$ADDRESS/team/app:1" sbom.json)
  refers team/app "$(digest_of "$ADDRESS/team/app:1")" "$SBOM" "$digest"
  same "what is discovered" "$digest" "$(discovered api team/app:1)"
  oras discover --plain-http --format json "$ADDRESS/team/app:1" | jq -e '.. | .annotations? // empty | ."made-by" == "entrepot tests"'
}

# finds SCHEME NAME FILE: what is attached to the name is found, and comes as it was attached.
finds() {
  local digest into
  into=$(mktemp -d "$WORK/found-XXXX")
  digest=$(discovered "$1" "$2")
  oras pull --plain-http --output "$into" "$ADDRESS/${2%:*}@$digest"
  cmp "$WORK/attached/$3" "$into/$3"
}

# An old client keeps the list itself, as an index under a tag that is made of the digest.
attaches_by_tag() {
  local subject digest
  subject=$(digest_of "$ADDRESS/team/old:1")
  digest=$(attached tag "$ADDRESS/team/old:1" sbom.json)
  oras manifest fetch --plain-http "$ADDRESS/team/old:${subject/:/-}" | jq -e --arg digest "$digest" '.manifests | any(.digest == $digest)'
  refers team/old "$subject" "$SBOM" "$digest"
}

copies_all_of_it() {
  oras copy --recursive --from-plain-http --to-plain-http "$ADDRESS/team/app:1" "$ADDRESS/team/copy:1"
  hosted team/copy 1
  finds api team/copy:1 sbom.json
}

forgets() {
  local subject
  subject=$(digest_of "$ADDRESS/team/app:1")
  oras manifest delete --plain-http --force "$ADDRESS/team/app@$(discovered api team/app:1)"
  has_no_referrers team/app "$subject"
  finds api team/copy:1 sbom.json
}

pulls_all_again() {
  pulls docker.io/files/app:1
  finds tag docker.io/files/app:1 upstream.json
  pulls team/app:1
  finds api team/copy:1 sbom.json
  finds tag team/old:1 sbom.json
}

artifact_servers
mkdir "$WORK/files" "$WORK/attached"
echo "entrepot tests" >"$WORK/files/note.txt"
head -c 20000000 /dev/urandom >"$WORK/files/large.bin"
echo '{"spdxVersion": "SPDX-2.3", "name": "app"}' >"$WORK/attached/sbom.json"
echo '{"spdxVersion": "SPDX-2.3", "name": "of the upstream"}' >"$WORK/attached/upstream.json"
check "files are pushed upstream" pushed "$BACKEND/files/app:1"
check "an SBOM is attached upstream, which knows the tag scheme alone" attached tag "$BACKEND/files/app:1" upstream.json

check "the upstream's files are pulled" pulls docker.io/files/app:1
check "each of their blobs crossed the uplink once" crossed_once files/app 1
check "the upstream's SBOM is found by the tag scheme, and pulled" finds tag docker.io/files/app:1 upstream.json
check "it is found by the list of referrers too, which the upstream has not" finds api docker.io/files/app:1 upstream.json
check "a push without log-in is refused" refused pushed "$ADDRESS/team/app:1"
check "log-in fails with a wrong password and works with the right one" logs_in_and_back_out
check "files are pushed" pushes team/app 1
check "the same files are pushed under a second name" pushes team/old 1
check "files that were pushed are pulled" pulls team/app:1
check "an SBOM is attached and discovered" attaches
check "an SBOM that was attached is pulled" finds api team/app:1 sbom.json
check "an SBOM is attached by the tag scheme, and is in the list of referrers too" attaches_by_tag
check "files are copied with all that is attached to them" copies_all_of_it
check "an SBOM is deleted, and it alone" forgets
stop_upstream
restart_entrepot
check "everything is pulled again after a restart, the upstream stopped" pulls_all_again
