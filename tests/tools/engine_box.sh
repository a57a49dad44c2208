#!/usr/bin/env bash
# engine_box.sh DIR: a Docker engine to be broken, at unix://DIR/d.sock, with the busybox image in it. Says `ready`.
#
# It lives in network, mount, pid and host name namespaces of its own: a second dockerd on the host's network would take
# the first one's bridge away. It has no network to give; jobs on it say RUNNER_NETWORK=none. When dockerd dies it
# is started again; when this script is killed, everything in the box dies with it. Root only.
set -euo pipefail
dir=${1:?usage: engine_box.sh DIR}
group=/$(basename "$dir")
mkdir -p "$dir"

# A process of this process group: whoever kills the group kills the box.
# shellcheck disable=SC2016  # expanded by that shell
unshare --net --uts --mount --propagation slave --pid --fork --kill-child=SIGKILL --mount-proc sh -c '
  while :; do
    rm -f "$1/d.pid" "$1/exec/docker.pid"
    dockerd --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/d.pid" -H "unix://$1/d.sock" \
      --bridge none --iptables=false --ip-masq=false --cgroup-parent "$2" >>"$1/log" 2>&1 </dev/null || :
    sleep 0.2
  done' box "$dir" "$group" &

engine() { env -u DOCKER_HOST docker -H "unix://$dir/d.sock" "$@"; }
for _ in $(seq 300); do
  engine version >/dev/null 2>&1 && break
  sleep 0.2
done
if ! engine version >/dev/null; then
  tail -n 20 "$dir/log" >&2
  exit 1
fi
docker save busybox:latest | engine load -q >/dev/null
echo ready
wait
