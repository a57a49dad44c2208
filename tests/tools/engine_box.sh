#!/usr/bin/env bash
# engine_box.sh DIR [OPTION...]: a Docker engine to be broken, at unix://DIR/d.sock, with the busybox image in it and
# those options of dockerd's. Says `ready`.
#
# It lives in network, mount, pid and host name namespaces of its own: a second dockerd on the host's network would take
# the first one's bridge away. It has no network to give; jobs on it say RUNNER_NETWORK=none. Where it listens by TCP
# only who enters its network namespace can reach it. When dockerd dies it is started again; when this script is killed,
# everything in the box dies with it. Root only.
set -euo pipefail
dir=${1:?usage: engine_box.sh DIR [OPTION...]}
shift
group=/$(basename "$dir")
mkdir -p "$dir"

# A process of this process group: whoever kills the group kills the box.
# shellcheck disable=SC2016  # expanded by that shell
unshare --net --uts --mount --propagation slave --pid --fork --kill-child=SIGKILL --mount-proc sh -c '
  dir=$1 group=$2
  shift 2
  ip link set lo up
  while :; do
    rm -f "$dir/d.pid" "$dir/exec/docker.pid"
    dockerd --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/d.pid" -H "unix://$dir/d.sock" \
      --bridge none --iptables=false --ip-masq=false --cgroup-parent "$group" "$@" >>"$dir/log" 2>&1 </dev/null || :
    sleep 0.2
  done' box "$dir" "$group" "$@" &

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
