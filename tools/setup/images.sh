#!/usr/bin/env bash
# images.sh [demo|test|all|<image>...]: sees to it that the base images of the examples and tests are on the engine.
#
# An image that is there is left alone. One that is not is pulled; where no public registry can be reached it is made
# from Debian packages and pushed to the local registry, under the path where a mirror looks for it. What we made
# carries the digest of its recipe in a label, and is made anew when the recipe changes.
source "$(dirname "$0")/lib.sh"

readonly LABEL=org.runner-setup.recipe
readonly HERE=$REPO/tools/setup
readonly PATH_ENV=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# name -> the tags it gets, the first being the one asked about; after `<`, what it is made from.
declare -Ar TAGS=(
  [busybox]='busybox:latest busybox:1'
  [debian]='debian:bookworm debian:12 debian:bookworm-slim debian:12-slim debian:latest'
  [node]='node:18 node:18-slim node:18-bookworm node:18-bookworm-slim'
  [docker]='docker:cli docker:latest'
  [redis]='redis:7 redis:latest'
  [postgres]='postgres:15 postgres:latest'
  [nonroot]='runner-test/nonroot:latest'
  [noshell]='runner-test/noshell:latest'
  [peer]='runner-test/peer:latest'
)
declare -Ar PARENT=([node]=debian [docker]=debian [redis]=debian [postgres]=debian [nonroot]=busybox [peer]=debian)
readonly DEMO='busybox debian node docker'
readonly ALL="$DEMO redis postgres nonroot noshell"

# recipe <name>: a digest of everything that the image is made from.
recipe() {
  {
    [[ -z ${PARENT[$1]:-} ]] || recipe "${PARENT[$1]}"
    case $1 in
      busybox | debian) declare -f "make_$1" ;;
      *) find "$HERE/images/$1" -type f -print0 | sort -z | xargs -0 cat ;;
    esac
  } | sha256sum | cut -c1-16
}

# label <name>: the recipe that the local image was made by; empty if it is not ours; fails if there is none.
label() {
  local tags=${TAGS[$1]}
  docker image inspect --format "{{index .Config.Labels \"$LABEL\"}}" "${tags%% *}" 2>/dev/null
}

make_busybox() {
  local root=$1
  mkdir -p "$root"/{bin,etc,home,proc,root,sys,tmp,usr/bin,var/spool/mail}
  chmod 1777 "$root/tmp"
  install "$(command -v busybox)" "$root/bin/busybox"
  local applet
  for applet in $("$root/bin/busybox" --list); do
    [[ $applet == busybox ]] || ln "$root/bin/busybox" "$root/bin/$applet"
  done
  ln -s ../../bin/env "$root/usr/bin/env"
  echo 'root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/home:/bin/false' >"$root/etc/passwd"
  echo 'root:x:0:
nogroup:x:65534:' >"$root/etc/group"
  tar --numeric-owner --owner=0 --group=0 -C "$root" -c .
}

# The host's own Debian mirror and apt settings, if it has any; otherwise mmdebstrap's default.
make_debian() {
  local sources aptopts=() setting
  # shellcheck disable=SC2016  # apt's own variables
  sources=$(apt-get indextargets \
    --format 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(REPO_URI) $(RELEASE) $(COMPONENT)|$(ORIGIN)|$(RELEASE)' \
    'Created-By: Packages' 2>/dev/null | awk -F'|' '$2 == "Debian" && $3 ~ /^bookworm/ {print $1}' | sort -u)
  while read -r setting; do
    aptopts+=(--aptopt="$setting")
  done < <(apt-config dump 2>/dev/null | grep -E '^Acquire::(https?::Proxy|Check-Valid-Until|Check-Date) ')
  # shellcheck disable=SC2016  # expanded by mmdebstrap's shell
  # What the public image does: no services started, no documentation, no fsync for a throw-away file system.
  as_root mmdebstrap --quiet --variant=minbase "${aptopts[@]}" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt=force-unsafe-io \
    --aptopt='Acquire::Languages "none"' \
    --customize-hook='printf "#!/bin/sh\nexit 101\n" >"$1/usr/sbin/policy-rc.d"; chmod 755 "$1/usr/sbin/policy-rc.d"' \
    --customize-hook='rm -f "$1/etc/hostname" "$1/etc/resolv.conf"; rm -rf "$1/var/lib/apt/lists"/* "$1/var/cache/apt"/*' \
    bookworm - ${sources:+-} <<<"$sources"
}

# import <recipe> <command> <tag>
import() {
  docker import --change "LABEL $LABEL=$1" --change "ENV $PATH_ENV" --change "CMD [\"$2\"]" "$work/tar" "$3"
  rm "$work/tar"
}

# make <name> <recipe>
make_image() {
  local name=$1 recipe=$2 tags context
  read -ra tags <<<"${TAGS[$name]}"
  case $name in
    # By way of a file: half a tree must not become an image.
    busybox) make_busybox "$work/root" >"$work/tar" && import "$recipe" sh "${tags[0]}" ;;
    debian) make_debian >"$work/tar" && import "$recipe" bash "${tags[0]}" ;;
    *)
      context=$HERE/images/$name
      if [[ $name == noshell ]]; then
        mkdir -p "$work/noshell"
        cp "$context"/* "$work/noshell"
        context=$work/noshell
        cc -static -O2 -s -o "$context/hello" "$context/hello.c"
      fi
      # The classic builder is in every engine; the host's network, because that is the one known to reach a mirror.
      DOCKER_BUILDKIT=0 docker build --force-rm --network host --label "$LABEL=$recipe" --tag "${tags[0]}" "$context"
      ;;
  esac
}

# push <image>: into the local registry, where the engine's mirror setting finds it by its plain name.
push() {
  local path=$1
  [[ $path == */* ]] || path=library/$path
  docker tag "$1" "$REGISTRY/$path"
  docker push --quiet "$REGISTRY/$path" >/dev/null
  docker rmi --no-prune "$REGISTRY/$path" >/dev/null
}

in_registry() {
  local path=$1
  [[ $path == */* ]] || path=library/$path
  curl -fsS --noproxy '*' -m 10 -o /dev/null -I -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' \
    "http://$REGISTRY/v2/${path%:*}/manifests/${path##*:}" 2>/dev/null
}

# Once the public registry could not be reached, only what a mirror of ours has is asked for.
pull() {
  local log=$STATE/images/$1.pull.log
  [[ $2 != runner-test/* ]] || return 1
  [[ -z ${OFFLINE:-} ]] || in_registry "$2" || return 1
  timeout 600 docker pull --quiet "$2" >"$log" 2>&1 && return
  if grep -qE 'no such host|timeout|deadline|refused|unreachable|x509|TLS|EOF' "$log"; then export OFFLINE=1; fi
  return 1
}

provide() {
  local name=$1 tags tag want found start=$SECONDS
  read -ra tags <<<"${TAGS[$name]}"
  want=$(recipe "$name")
  if ! found=$(label "$name"); then
    # Ours from before, or a public one: whatever a pull by its plain name brings; never an old one of ours.
    if pull "$name" "${tags[0]}" && found=$(label "$name") && [[ -z $found || $found == "$want" ]]; then
      say "pulled ${tags[0]}"
    else
      found=none
    fi
  fi
  # Somebody else's image: good as it is.
  if [[ -n $found && $found != "$want" ]]; then
    quietly "$STATE/images/$name.log" make_image "$name" "$want"
    found=$want
    for tag in "${tags[@]}"; do
      docker tag "${tags[0]}" "$tag"
      push "$tag"
    done
    say "made ${tags[0]} in $((SECONDS - start)) s"
  fi
  for tag in "${tags[@]:1}"; do
    docker image inspect "$tag" >/dev/null 2>&1 || docker tag "${tags[0]}" "$tag"
  done
  [[ $name == busybox || $found == "$want" ]] || return 0
  for tag in "${tags[@]}"; do
    in_registry "$tag" || push "$tag"
  done
}

mkdir -p "$STATE/images"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [[ ${1:-} == --one ]]; then
  provide "$2"
  exit
fi

names=()
for arg in "${@:-all}"; do
  case $arg in
    demo) read -ra more <<<"$DEMO" ;;
    test | all) read -ra more <<<"$ALL" ;;
    *)
      [[ -n ${TAGS[$arg]:-} ]] || die "no such image: $arg ($ALL)"
      more=("$arg")
      ;;
  esac
  names+=("${more[@]}")
done

"$HERE/registry.sh"
one_at_a_time images
children=()
for name in "${names[@]}"; do
  if [[ -z ${PARENT[$name]:-} ]]; then provide "$name"; else children+=("$name"); fi
done
for name in "${children[@]}"; do
  [[ " ${names[*]} " == *" ${PARENT[$name]} "* ]] || provide "${PARENT[$name]}"
done
((${#children[@]} == 0)) || printf '%s\n' "${children[@]}" | xargs -n1 -P2 "$0" --one
