#!/usr/bin/env bash
# deps.sh [build] [engine] [test] [format] [check] [bench]: installs the Debian 12 packages of those groups that are
# missing. Without arguments: build, engine and test.
#
# shellcheck disable=SC2034  # the lists are read through `declare -n`

source "$(dirname "$0")/lib.sh"

build=(
  g++ cmake ninja-build make pkg-config ccache
  libyaml-cpp-dev nlohmann-json3-dev libcpp-httplib-dev libgit2-dev libsqlitecpp-dev libsqlite3-dev libfmt-dev
  libcli11-dev libre2-dev libarchive-dev libzstd-dev libssl-dev libsodium-dev libcurl4-openssl-dev libpugixml-dev
  libtomlplusplus-dev zlib1g-dev libbrotli-dev
  libgtest-dev libgmock-dev libbenchmark-dev
)
engine=(docker.io docker-registry mmdebstrap busybox-static iptables ca-certificates curl git)
test=(awscli git packer iproute2 openssh-client openssl procps python3 python3-botocore python3-jsonschema python3-ruamel.yaml sqlite3 xz-utils)
format=(clang-format)
check=(clang clang-format clang-tidy libclang-rt-dev shellcheck)
bench=(rsync) # of the peer that the benchmarks measure

groups=("$@")
((${#groups[@]})) || groups=(build engine test)
wanted=()
for group in "${groups[@]}"; do
  case $group in
    build | engine | test | format | check | bench) declare -n list=$group && wanted+=("${list[@]}") && unset -n list ;;
    *) die "no such group: $group (build, engine, test, format, check, bench)" ;;
  esac
done

# A tool that is there already, from wherever, is not installed again over it.
have() {
  case $1 in
    docker.io) command -v dockerd >/dev/null || docker version >/dev/null 2>&1 ;;
    docker-registry | mmdebstrap | ccache | git | curl | shellcheck | rsync) command -v "$1" >/dev/null ;;
    *) return 1 ;;
  esac
}

installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 2>/dev/null | sed -n 's/^ii  *//p') || installed=
missing=()
for package in "${wanted[@]}"; do
  grep -qxF "$package" <<<"$installed" || have "$package" || missing+=("$package")
done
((${#missing[@]})) || exit 0

command -v apt-get >/dev/null ||
  die "these Debian packages (or your system's like) are needed: ${missing[*]}"
say "installing ${#missing[@]} Debian packages: ${missing[*]}"
log=$STATE/apt.log
apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o Dpkg::Use-Pty=0 "$@"; }
# The package lists may be older than the mirror, or absent: update only when it does not go without.
if ! apt_get install --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
  quietly "$log" apt_get update
  quietly "$log" apt_get install --no-install-recommends "${missing[@]}"
fi
