#!/usr/bin/env bash
# registry.sh [start|stop|status]: a registry (Debian's docker-registry) on this host's loopback, with its data in $STATE.
source "$(dirname "$0")/lib.sh"

answers() { curl -fsS --noproxy '*' -m 5 -o /dev/null "http://$REGISTRY/v2/"; }
ours() { [[ -s $STATE/registry.pid ]] && kill -0 "$(<"$STATE/registry.pid")" 2>/dev/null; }

case ${1:-start} in
  status)
    answers 2>/dev/null || die "no registry at $REGISTRY"
    say "registry at $REGISTRY"
    exit
    ;;
  stop)
    ours && kill "$(<"$STATE/registry.pid")"
    rm -f "$STATE/registry.pid"
    exit
    ;;
  start) ;;
  *) die "usage: registry.sh [start|stop|status]" ;;
esac

answers 2>/dev/null && exit
one_at_a_time registry
answers 2>/dev/null && exit

mkdir -p "$STATE/registry"
cat >"$STATE/registry.yml" <<YML
version: 0.1
log: {level: warn}
storage:
  filesystem: {rootdirectory: "$STATE/registry"}
  delete: {enabled: true}
http:
  addr: $REGISTRY
YML
setsid docker-registry serve "$STATE/registry.yml" >>"$STATE/registry.log" 2>&1 </dev/null 9>&- &
echo $! >"$STATE/registry.pid"
wait_for 15 answers || die "the registry did not start at $REGISTRY; is the port taken (RUNNER_REGISTRY_PORT chooses another)? See $STATE/registry.log"
say "started a registry at $REGISTRY"
