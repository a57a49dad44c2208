#!/usr/bin/env bash
# engine.sh [start|stop|status]: sees to it that a Docker engine answers.
#
# An engine that answers already (DOCKER_HOST, or the default socket) is used as it is. Where none does, dockerd is
# started by hand, with the local registry as its mirror of the public one. A second dockerd on one machine would tear
# down the first one's bridge, so one that is running but does not answer is waited for and reported, never doubled.
source "$(dirname "$0")/lib.sh"

answers() { timeout 20 docker version >/dev/null 2>&1; }
pidfile=$STATE/dockerd.pid
log=$STATE/dockerd.log

case ${1:-start} in
  status)
    answers || die "no Docker engine answers"
    say "Docker engine $(docker version --format '{{.Server.Version}}')"
    exit
    ;;
  stop)
    [[ -s $pidfile ]] || die "no engine of ours is running"
    pid=$(<"$pidfile")
    as_root kill "$pid"
    wait_for 60 test ! -d "/proc/$pid" || die "dockerd ($pid) does not end"
    rm -f "$pidfile"
    exit
    ;;
  start) ;;
  *) die "usage: engine.sh [start|stop|status]" ;;
esac

answers && exit
one_at_a_time engine
answers && exit

[[ -z ${DOCKER_HOST:-} ]] || die "no Docker engine answers at DOCKER_HOST=$DOCKER_HOST"

tell_access() {
  die "a Docker engine runs here, but $(id -un) may not use it: sudo usermod -aG docker $(id -un), then log in again"
}
if [[ -S /var/run/docker.sock && ! -w /var/run/docker.sock ]] && pgrep -x dockerd >/dev/null; then tell_access; fi
if pgrep -x dockerd >/dev/null; then
  wait_for 30 answers && exit
  die "dockerd is running, but does not answer"
fi

"$REPO/tools/setup/deps.sh" engine
if ! answers && [[ -d /run/systemd/system ]] && command -v systemctl >/dev/null; then
  say "no Docker engine answers: starting the docker service"
  as_root systemctl start docker || die "systemctl start docker failed"
  wait_for 30 as_root docker version || die "the docker service does not answer"
  answers || tell_access
fi
answers && exit

say "no Docker engine answers: starting dockerd (log: $log)"
"$REPO/tools/setup/registry.sh"

# Minimal machines come without the control groups that runc wants.
if ! grep -q ' /sys/fs/cgroup' /proc/mounts; then
  # shellcheck disable=SC2016  # expanded by that shell
  as_root sh -ec '
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    # Without the memory controller, the kernel has been told to keep its controllers in the old hierarchies.
    if ! grep -qw memory /sys/fs/cgroup/cgroup.controllers; then
      umount /sys/fs/cgroup
      mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
      for c in $(awk "!/^#/ && \$4 == 1 {print \$1}" /proc/cgroups); do
        mkdir -p "/sys/fs/cgroup/$c"
        mount -t cgroup -o "$c" cgroup "/sys/fs/cgroup/$c" || rmdir "/sys/fs/cgroup/$c"
      done
    fi'
fi

cat >"$STATE/daemon.json" <<JSON
{
  "registry-mirrors": ["http://$REGISTRY"],
  "insecure-registries": ["127.0.0.0/8"]
}
JSON

# The socket's group: the user's own private one, so that it works at once; otherwise `docker`.
group=docker
if [[ $(id -u) != 0 && $(id -gn) == "$(id -un)" ]]; then group=$(id -gn); fi
getent group "$group" >/dev/null || as_root groupadd --system "$group"

# A pid left over from before a reboot would keep dockerd from starting.
as_root rm -f /var/run/docker.pid
dockerd=$(command -v dockerd || echo /usr/sbin/dockerd)
as_root setsid "$dockerd" --config-file "$STATE/daemon.json" --group "$group" >>"$log" 2>&1 </dev/null 9>&- &
if ! wait_for 60 as_root docker version; then
  tail -n 20 "$log" >&2
  die "dockerd did not come up (whole log: $log)"
fi
cat /var/run/docker.pid >"$pidfile"
answers || tell_access
say "started Docker engine $(docker version --format '{{.Server.Version}}')"
