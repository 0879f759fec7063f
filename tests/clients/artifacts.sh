# shellcheck shell=bash
# Sourced by the tests of the clients of artifacts: an upstream that begins empty and is filled by the client itself, past its
# front, and what is alike in all of them.

# artifact_servers: the upstream, entrepot, and the client's own configuration in WORK.
artifact_servers() {
  start_upstream "$WORK/upstream"
  start_entrepot
  export HOME=$WORK/home
  mkdir -p "$HOME"
}

# refers REPOSITORY SUBJECT TYPE DIGEST: the list of referrers has this artifact, filtered by its type too, and no other type has it.
refers() {
  local list="http://$ADDRESS/v2/$1/referrers/$2" filter=${3/+/%2B}
  curl -fsS "$list" | jq -e --arg digest "$4" '.manifests | any(.digest == $digest)'
  curl -fsS "$list?artifactType=$filter" | jq -e --arg digest "$4" --arg type "$3" '.manifests | any(.digest == $digest) and all(.artifactType == $type)'
  curl -fsS "$list?artifactType=application/x-other" | jq -e '.manifests == []'
}

# has_no_referrers REPOSITORY SUBJECT
has_no_referrers() { curl -fsS "http://$ADDRESS/v2/$1/referrers/$2" | jq -e '.manifests == []'; }
