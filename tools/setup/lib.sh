# shellcheck shell=bash disable=SC2034
# What the set-up scripts share. Sourced, never run.

set -euo pipefail

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# Where the registry's blobs, the engine's log and our markers live: outlasts the checkout.
if [[ $(id -u) == 0 ]]; then
  STATE=${RUNNER_SETUP_STATE:-/var/lib/runner-setup}
else
  STATE=${RUNNER_SETUP_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/runner-setup}
fi
mkdir -p "$STATE"

# A registry of our own, so that pulls and pushes are real ones. Only on this host's loopback.
REGISTRY_PORT=${RUNNER_REGISTRY_PORT:-5050}
REGISTRY=127.0.0.1:$REGISTRY_PORT
export STATE REGISTRY REGISTRY_PORT

say() { printf 'setup: %s\n' "$*" >&2; }
die() {
  printf 'setup: error: %s\n' "$*" >&2
  exit 1
}

as_root() {
  if [[ $(id -u) == 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "this needs root and there is no sudo: $*"
  fi
}

# quietly <log> <command>...: the output is shown only if the command fails.
quietly() {
  local log=$1
  shift
  if ! "$@" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    die "failed: $* (whole output: $log)"
  fi
}

# wait_for <seconds> <command>...: until the command succeeds.
wait_for() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || return 1
    sleep 0.1
  done
}

# One set-up at a time: `make -j demo test`, or two checkouts, must not start two engines.
one_at_a_time() {
  exec 9>"$STATE/$1.lock"
  flock 9
}
