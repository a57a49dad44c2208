#!/usr/bin/env bash
# config.sh <dir>: writes <dir>/runner.toml, the configuration that the demo and the tests run with, and <dir>/env.sh,
# which exports it as RUNNER_CONFIG. Containers get this host's certificates, npm settings and proxies, so that
# `npm ci` works inside them wherever it works outside.
source "$(dirname "$0")/lib.sh"

dir=${1:?usage: config.sh <dir>}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
case $dir in *[\"\\]*) die "a path that TOML would have to escape: $dir" ;; esac

volumes=()
environment=()
quote() {
  local text=${1//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}
mount() { volumes+=("$(quote "$1:$2")"); }
set_env() { environment+=("$1 = $(quote "$2")"); }

socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
[[ $socket != unix://* ]] || mount "${socket#unix://}" /var/run/docker.sock

bundle=/etc/ssl/certs/ca-certificates.crt
if [[ -r $bundle ]]; then
  mount "$(readlink -f "$bundle")" "$bundle:ro"
  # Node.js and npm bring their own list of authorities and ignore the system's.
  set_env NODE_EXTRA_CA_CERTS "$bundle"
  set_env SSL_CERT_FILE "$bundle"
fi

npmrc=${npm_config_userconfig:-${NPM_CONFIG_USERCONFIG:-$HOME/.npmrc}}
if [[ -r $npmrc ]]; then
  mount "$(readlink -f "$npmrc")" /etc/npm/userconfig:ro
  set_env npm_config_userconfig /etc/npm/userconfig
fi

for name in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy npm_config_registry NPM_CONFIG_REGISTRY; do
  [[ -z ${!name:-} ]] || set_env "$name" "${!name}"
done

join() {
  local IFS=,
  printf '%s' "$*"
}
new=$(
  printf '# Written by tools/setup/config.sh; what you change here is lost.\n[docker]\n'
  printf 'volumes = [\n%s]\n' "$(printf '  %s,\n' "${volumes[@]}")
"
  # An inline table has to stand on one line.
  printf 'environment = { %s }\n' "$(join "${environment[@]}" | sed 's/,\([A-Za-z_]* = "\)/, \1/g')"
)
# Untouched when nothing changed, so that nothing that depends on it is made again.
[[ -f $dir/runner.toml && $(<"$dir/runner.toml") == "$new" ]] || printf '%s\n' "$new" >"$dir/runner.toml"
cat >"$dir/env.sh" <<SH
export RUNNER_CONFIG=$(printf %q "$dir/runner.toml")
export RUNNER_TEST_REGISTRY=$REGISTRY
SH
