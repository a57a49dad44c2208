#!/usr/bin/env bash
# check.sh [step...]: format shell gcc clang tidy asan tsan fuzz; without arguments, all of them in this order.
#
# Every step runs, whatever the others say; the failed ones are named at the end. Each has a build directory of its own
# (build-<step>), so that the second run only builds what changed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

jobs=${JOBS:-$(nproc)}
fuzz_seconds=${FUZZ_SECONDS:-60}

# build <directory> <cmake option>...
build() {
  local dir=$1
  shift
  cmake -S . -B "$dir" -G Ninja -Wno-dev --log-level=WARNING "$@" &&
    cmake --build "$dir" -j "$jobs" --target "${target:-all}" -- --quiet
}

# The sanitizers of GCC 12 and clang 14 fail at random under the many random address bits of newer kernels.
fixed_addresses=()
if setarch -R true 2>/dev/null; then fixed_addresses=(setarch -R); fi

# units <directory> <cmake option>...: builds and runs the unit tests alone.
units() {
  target=unit_tests build "$@" && (cd "$1" && "${fixed_addresses[@]}" ctest --output-on-failure -j "$jobs" -L unit --repeat until-pass:2)
}

step_format() { git ls-files -z -- '*.h' '*.cpp' | xargs -0 -r clang-format --dry-run -Werror; }

step_shell() {
  { git ls-files -z -- '*.sh' && printf '.ci/run\0'; } | xargs -0 -r shellcheck -x -P SCRIPTDIR
}

step_gcc() { build build-gcc -DCMAKE_CXX_COMPILER=g++ -DCMAKE_C_COMPILER=gcc -DRUNNER_WERROR=ON; }

step_clang() { build build-clang -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_C_COMPILER=clang -DRUNNER_WERROR=ON; }

step_tidy() {
  # Its flags have to be clang's: a compilation database made for GCC has options that clang refuses.
  cmake -S . -B build-clang -G Ninja -Wno-dev --log-level=WARNING -DCMAKE_CXX_COMPILER=clang++ \
    -DCMAKE_C_COMPILER=clang -DRUNNER_WERROR=ON || return
  git ls-files -z -- 'pipelines/*.cpp' 'executors/*.cpp' 'runner/*.cpp' |
    xargs -0 -r -n 1 -P "$jobs" clang-tidy -p build-clang --quiet 2> >(grep -vE '^[0-9]+ warnings? generated' >&2)
}

step_asan() {
  units build-asan -DRUNNER_SANITIZE=address,undefined -DRUNNER_WERROR=ON
}

step_tsan() {
  units build-tsan -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_C_COMPILER=clang -DRUNNER_SANITIZE=thread
}

# One program each, build-fuzz/tests/fuzz_<name>, with seeds in tests/fuzz/corpus/<name>.
step_fuzz() {
  build build-fuzz -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_C_COMPILER=clang -DRUNNER_FUZZ=ON -DRUNNER_TESTS=OFF \
    -DRUNNER_SANITIZE=address,undefined || return
  local program name failed=0
  for program in build-fuzz/tests/fuzz_*; do
    [[ -x $program && ! -d $program ]] || continue
    name=${program##*/fuzz_}
    mkdir -p "build-fuzz/corpus/$name"
    seeds=()
    [[ ! -d tests/fuzz/corpus/$name ]] || seeds=("tests/fuzz/corpus/$name")
    echo "fuzzing $name for $fuzz_seconds s"
    "$program" -max_total_time="$fuzz_seconds" -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 \
      -artifact_prefix="build-fuzz/$name-" "build-fuzz/corpus/$name" "${seeds[@]}" || failed=1
  done
  return $failed
}

steps=("$@")
((${#steps[@]})) || steps=(format shell gcc clang tidy asan tsan fuzz)
failed=()
for step in "${steps[@]}"; do
  if ! declare -F "step_$step" >/dev/null; then
    echo "check: no such step: $step" >&2
    exit 2
  fi
  start=$SECONDS
  echo "check: $step"
  if "step_$step"; then
    echo "check: $step passed ($((SECONDS - start)) s)"
  else
    echo "check: $step FAILED ($((SECONDS - start)) s)"
    failed+=("$step")
  fi
done
((${#failed[@]} == 0)) || {
  echo "check: failed: ${failed[*]}"
  exit 1
}
echo "check: all passed"
