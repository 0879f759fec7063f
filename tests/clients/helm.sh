#!/usr/bin/env bash
# Helm 3: charts as artifacts, pushed, listed by version, and pulled, here and from upstream.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/artifacts.sh"
HELM=$CACHE/bin/helm
needs "$HELM" docker-registry jq

helm() { timeout 60 "$HELM" "$@"; }

log_in() { helm registry login "$ADDRESS" --plain-http --username admin --password-stdin <<<"$1"; }

logs_in_and_back_out() {
  refused log_in wrong-password
  log_in "$PASSWORD"
  helm registry logout "$ADDRESS"
  refused helm push "$WORK/app-0.1.0.tgz" "oci://$ADDRESS/team/charts" --plain-http
  log_in "$PASSWORD"
}

robot_pushes_until_it_is_revoked() {
  local token
  token=$(entrepot token create --robot ci --allow pull,push='team/**' 2>/dev/null)
  helm registry login "$ADDRESS" --plain-http --username ci --password-stdin <<<"$token"
  pushes 0.1.0 team/robot 0.1.0
  refused helm push "$WORK/app-0.1.0.tgz" "oci://$ADDRESS/other" --plain-http
  entrepot token revoke "$token"
  refused helm push "$WORK/app-0.2.0.tgz" "oci://$ADDRESS/team/robot" --plain-http
  log_in "$PASSWORD"
}

pushes() {
  helm push "$WORK/app-$1.tgz" "oci://$ADDRESS/$2" --plain-http
  hosted "$2/app" "$3"
}

# pulls FROM VERSION: every byte as it was packaged.
pulls() {
  local into
  into=$(mktemp -d "$WORK/pulled-XXXX")
  helm pull "oci://$ADDRESS/$1" --version "$2" --plain-http --destination "$into"
  cmp "$WORK/app-$2.tgz" "$into/app-$2.tgz"
}

finds_the_newest() {
  same "version" 0.3.0+build.1 "$(helm show chart "oci://$ADDRESS/team/charts/app" --version '>=0.1.0' --plain-http | sed -n 's/^version: //p')"
}

renders() { helm template "oci://$ADDRESS/$1" --version 0.1.0 --plain-http | grep -F "made-by: entrepot-tests"; }

pulls_all_again() {
  pulls team/charts/app 0.1.0
  pulls docker.io/charts/app 0.1.0
  pulls charts/app 0.1.0
}

artifact_servers
mkdir -p "$WORK/app/templates"
printf 'apiVersion: v2\nname: app\nversion: 0.0.0\n' >"$WORK/app/Chart.yaml"
printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app}\ndata: {made-by: entrepot-tests}\n' >"$WORK/app/templates/map.yaml"
for version in 0.1.0 0.2.0 0.3.0+build.1; do helm package --destination "$WORK" --version "$version" "$WORK/app" >/dev/null; done
check "a chart is pushed upstream" helm push "$WORK/app-0.1.0.tgz" "oci://$BACKEND/charts" --plain-http

check "a chart of the upstream's is pulled under its registry's name" pulls docker.io/charts/app 0.1.0
check "a chart of the upstream's is pulled at the address itself" pulls charts/app 0.1.0
check "a chart of the upstream's is rendered" renders docker.io/charts/app
check "a push without log-in is refused" refused helm push "$WORK/app-0.1.0.tgz" "oci://$ADDRESS/team/charts" --plain-http
check "log-in fails with a wrong password and works with the right one" logs_in_and_back_out
check "a robot pushes where its token lets it, until that is revoked" robot_pushes_until_it_is_revoked
check "a chart is pushed" pushes 0.1.0 team/charts 0.1.0
check "a second version is pushed" pushes 0.2.0 team/charts 0.2.0
check "a version with a plus is pushed under a tag without one" pushes 0.3.0+build.1 team/charts 0.3.0_build.1
check "a chart that was pushed is pulled" pulls team/charts/app 0.2.0
check "a version with a plus is pulled" pulls team/charts/app 0.3.0+build.1
check "the newest version is found in the list of tags" finds_the_newest
stop_upstream
restart_entrepot
check "everything is pulled again after a restart, the upstream stopped" pulls_all_again
