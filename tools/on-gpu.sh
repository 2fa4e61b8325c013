#!/usr/bin/env bash
# on-gpu.sh - one command for a machine with an NVIDIA GPU: builds device cuda with nvcc and g++,
# holds its kernels against the reference on the silicon, runs compute-sanitizer where it is
# installed, measures, and writes results.json and results.txt. No network; nothing is installed.
#
#   tools/on-gpu.sh [--out FOLDER] [--minutes N] [--programs FOLDER] [--bench "ARGUMENTS"]
#
# --out        where all goes; build/on-gpu by default
# --minutes    of the whole, 10 by default: parts that find no time left are told as not run
# --programs   kernels, bench and libspecache.so of this folder, nothing is built
# --bench      further arguments of the bench program
# Status: 0 all that could be run went well; 1 something failed; 2 a wrong argument; 3 no nvcc, no
# g++ or no GPU: what could be done without was done.
set -eu

out=build/on-gpu minutes=10 programs="" more=""
usage() {
  echo "Cannot run on the GPU: $1" >&2
  exit 2
}
while [ $# -gt 0 ]; do
  [ $# -gt 1 ] || usage "$1 is given no value, or is not known"
  case $1 in
    --out) out=$2 ;;
    --minutes) minutes=$2 ;;
    --programs) programs=$(cd "$2" && pwd) || usage "$2 is no folder" ;;
    --bench) more=$2 ;;
    *) usage "option $1 is not known" ;;
  esac
  shift 2
done
case $minutes in
  '' | *[!0-9]*) usage "--minutes $minutes is not a number" ;;
esac
case $out in
  *[[:space:]]*) usage "--out $out has a space" ;;
  /*) ;;
  *) out=$PWD/$out ;;
esac
cd "$(dirname "$0")/.."
export CUDA_DEVICE_ORDER=PCI_BUS_ID # the runtime's first card is nvidia-smi's
began=$(date +%s)
mkdir -p "$out/parts"
rm -f "$out"/parts/* "$out/figures.jsonl" "$out/results.json" "$out/results.txt"

left() { echo $((began + minutes * 60 - $(date +%s))); }
has() { command -v "$1" >/dev/null 2>&1; }
first_line() { head -n 1 | tr -d '"\\\t\r'; }

# ---- what there is -----------------------------------------------------------------------------

find_nvcc() {
  for each in "${CUDA_HOME:+$CUDA_HOME/bin/nvcc}" "${CUDA_PATH:+$CUDA_PATH/bin/nvcc}" \
    "$(command -v nvcc || true)" \
    /usr/local/cuda/bin/nvcc "${XDG_CACHE_HOME:-$HOME/.cache}"/specache/nvcc-*/nvidia/cu*/bin/nvcc; do
    if [ -x "$each" ] && "$each" --version 2>/dev/null | grep -Eq 'release (1[2-9]|[2-9][0-9])\.'; then
      echo "$each"
      return
    fi
  done
}

# The GPU's own architecture; without one that of the project's budgets, to show that it compiles.
find_architecture() {
  capability=""
  if has nvidia-smi; then
    capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null |
      head -n 1 | tr -d '. \r')
  fi
  case $capability in
    '' | *[!0-9]*) if [ -e /dev/nvidiactl ]; then echo native; else echo sm_90; fi ;;
    *) echo "sm_$capability" ;;
  esac
}

smi() { # one field of the first GPU, empty where it is not told
  if has nvidia-smi; then
    nvidia-smi --query-gpu="$1" --format=csv,noheader 2>/dev/null | first_line || true
  fi
}

# ---- build -------------------------------------------------------------------------------------

# Lines "object<TAB>command", of what is missing or older than a source.
needed() {
  while IFS="$(printf '\t')" read -r object command; do
    if [ ! -e "$object" ] || [ -n "$(find native cuda -newer "$object" -print -quit)" ]; then
      printf '%s\0' "$command -o $object.new && mv $object.new $object"
    fi
  done
}

units() { # of the library, then of each program; the least instruction set is linked first
  cxx="g++ -std=c++20 -O3 -fPIC -Wall -Wextra -Wno-psabi -DSPECACHE_CUDA -isystem $include"
  host="-fPIC,-Wall,-Wextra"
  nv="$nvcc -std=c++20 -O3 -lineinfo --expt-relaxed-constexpr -arch=$architecture -Xcompiler $host"
  tests="$cxx -DSPECACHE_NEAR='\"../../cuda/tests/near.h\"'"
  find native -name '*.cpp' ! -path 'native/tests/*' ! -path 'native/cpu/kernels/*' |
    LC_ALL=C sort | while read -r source; do
    unit library "$source" "$cxx -fvisibility=hidden"
  done
  wide="-mavx2 -mfma -mf16c -mbmi2"
  for isa in "portable" "avx2 $wide" \
    "avx512 $wide -mavx512f -mavx512bw -mavx512vl -mavx512dq"; do
    for source in native/cpu/kernels/*.cpp; do
      unit "library-${isa%% *}" "$source" "$cxx -fvisibility=hidden -DSPECACHE_ISA=$isa"
    done
  done
  for source in cuda/*.cu; do unit library "$source" "$nv,-fvisibility=hidden"; done
  for source in native/tests/main.cpp cuda/tests/*_test.cpp; do unit tests "$source" "$tests"; done
  for source in cuda/bench/*.cpp; do unit bench "$source" "$cxx"; done
  for source in cuda/bench/*.cu; do unit bench "$source" "$nv"; done
}

unit() { # kind, source, command
  name=$(echo "$2" | tr '/' '-')
  printf '%s\t%s\n' "$objects/$1@$name.o" "$3 -c $2"
}

link() { # target, then kinds of objects and flags
  target=$1
  shift
  flags="" list=""
  for each in "$@"; do
    case $each in
      -*) flags="$flags $each" ;;
      # In the order of units(), which is that of the instruction sets.
      *) list="$list $(cut -f 1 "$out/units" | grep "^$objects/$each" | tr '\n' ' ')" ;;
    esac
  done
  # Words apart on purpose.
  # shellcheck disable=SC2086
  g++ $flags -o "$target" $list -L "$libraries" -lcudart_static -ldl -lrt -pthread
}

build() {
  home=$(cd "$(dirname "$nvcc")/.." && pwd)
  include=$home/include libraries=""
  [ -d "$include" ] || include=$home/targets/x86_64-linux/include
  for each in "$home/lib64" "$home/lib" "$home/targets/x86_64-linux/lib"; do
    [ ! -e "$each/libcudart_static.a" ] || libraries=$each
  done
  if [ -z "$libraries" ]; then
    echo "no libcudart_static.a beside $nvcc"
    return 1
  fi
  objects=$out/objects-$architecture
  mkdir -p "$objects"
  units >"$out/units"
  needed <"$out/units" | xargs -0 -r -n 1 -P "$(nproc)" sh -ec || return 1
  link "$out/libspecache.so" library -shared || return 1
  link "$out/kernels" library tests || return 1
  link "$out/bench" library bench || return 1
}

# ---- parts -------------------------------------------------------------------------------------

failed=0
part() { # name, seconds at most, command: its output to parts/name.txt, how it went to parts
  name=$1 limit=$2
  shift 2
  rest=$(left)
  whole=1
  [ "$rest" -ge "$limit" ] || { limit=$rest whole=0; }
  if [ "$limit" -lt 5 ]; then
    skip "$name" "no time was left"
    return
  fi
  started=$(date +%s) status=0
  timeout -k 5 "$limit" "$@" >"$out/parts/$name.txt" 2>&1 || status=$?
  took=$(($(date +%s) - started))
  case $status in
    0) verdict="went well" ;;
    124 | 137)
      verdict="stopped after $limit s"
      failed=$((failed | whole)) # its own limit is ample: it hangs
      ;;
    *)
      verdict="FAILED with status $status"
      failed=1
      ;;
  esac
  counts=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$out/parts/$name.txt" | tail -n 1)
  told "$name" "$verdict${counts:+: $counts}" "$took"
  [ "$status" -eq 0 ] || tail -n 20 "$out/parts/$name.txt"
}
skip() { told "$1" "not run: $2" 0; }
told() {
  printf '%s: %s (%s s)\n' "$1" "$2" "$3"
  printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$out/parts/list"
}

run_bench() { # part, seconds
  # Words apart on purpose.
  # shellcheck disable=SC2086
  part "bench-$1" "$2" "$programs/bench" "$1" --seconds $(($2 * 3 / 4)) --far-gib "$far" \
    --json "$out/figures.jsonl" $more
}

# A small choice: each of these tools makes a kernel many times slower.
run_sanitizer() {
  sanitizer=$(command -v compute-sanitizer || true)
  [ -n "$sanitizer" ] || sanitizer=$(dirname "${nvcc:-/none}")/compute-sanitizer
  for tool in memcheck racecheck synccheck; do
    if [ -x "$sanitizer" ]; then
      part "$tool" 40 "$sanitizer" --tool "$tool" --error-exitcode 9 "$programs/kernels" \
        "scan() gives" "on equal scores" "outputs over several" "with a profile" \
        "late rows above the given" "by either prefetch"
    else
      skip "$tool" "compute-sanitizer is not installed"
    fi
  done
}

# The same text from the shipped model on both devices.
run_engine() {
  runtime=""
  if has deno; then
    runtime="deno run -A --cached-only"
  elif has bun; then
    runtime="bun"
  else
    skip engine "neither Deno nor Bun is installed"
    return
  fi
  cat >"$out/engine.sh" <<END
set -eu
generate() {
  SPECACHE_LIBRARY="$programs/libspecache.so" $runtime main.ts generate --model models/needle \\
    --max-tokens 8 --device "\$1" \\
    --prompt "The code of amber is 44219. The weather is fine. The code of amber is"
}
generate cpu >"$out/text.cpu" 2>"$out/said.cpu" || { cat "$out/said.cpu"; exit 1; }
generate cuda >"$out/text.cuda" 2>"$out/said.cuda" || { cat "$out/said.cuda"; exit 1; }
cat "$out/text.cuda" "$out/said.cuda"
cmp "$out/text.cpu" "$out/text.cuda"
END
  if ! SPECACHE_LIBRARY=$programs/libspecache.so $runtime main.ts --help >"$out/engine.txt" 2>&1
  then
    skip engine "its packages are not on this machine: $(first_line <"$out/engine.txt")"
    return
  fi
  part engine 60 bash "$out/engine.sh"
}

watch_clocks() {
  if has nvidia-smi; then
    nvidia-smi --query-gpu=clocks.sm,clocks.mem,power.draw,temperature.gpu \
      --format=csv,noheader -l 5 >"$out/parts/clocks" 2>/dev/null &
    watcher=$!
  fi
}

# ---- results -----------------------------------------------------------------------------------

describe() { # lines "name<TAB>value"
  printf 'date\t%s\n' "$(date -u +%Y-%m-%dT%H:%MZ)"
  printf 'commit\t%s\n' "$(git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)"
  for field in name driver_version compute_cap memory.total clocks.max.sm clocks.max.mem \
    power.limit pcie.link.gen.max pcie.link.width.max; do
    printf '%s\t%s\n' "$field" "$(smi $field)"
  done
  printf 'architecture\t%s\n' "$architecture"
  printf 'nvcc\t%s\n' "$([ -z "$nvcc" ] || "$nvcc" --version | grep release | first_line)"
  printf 'compiler\t%s\n' "$(g++ --version 2>/dev/null | first_line)"
  printf 'system\t%s\n' "$(uname -srm)"
  printf 'processor\t%s\n' "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | first_line)"
  printf 'processors\t%s\n' "$(nproc)"
}

quoted() { # lines "name<TAB>value" as members of an object
  tr -d '"\\\r' | sed -e 's/^\([^\t]*\)\t\(.*\)$/"\1":"\2"/' -e '$!s/$/,/'
}

write_results() {
  describe >"$out/parts/machine"
  touch "$out/figures.jsonl" "$out/parts/list" "$out/parts/clocks"
  {
    echo '{"machine":{'
    quoted <"$out/parts/machine"
    echo '},"parts":{'
    cut -f 1,2 "$out/parts/list" | quoted
    echo '},"clocks_while_measuring":{'
    nl -w 1 "$out/parts/clocks" | quoted
    echo '},"figures":['
    sed -e '$!s/$/,/' "$out/figures.jsonl"
    echo ']}'
  } >"$out/results.json"
  {
    echo "specache on a GPU"
    tr '\t' ' ' <"$out/parts/machine"
    echo
    awk -F '\t' '{ print $1 ": " $2 " (" $3 " s)" }' "$out/parts/list"
    for each in "$out"/parts/*.txt; do
      [ -e "$each" ] || continue
      printf '\n---- %s\n' "$(basename "$each" .txt)"
      tail -n 400 "$each"
    done
    printf '\n---- clocks while measuring\n'
    cat "$out/parts/clocks"
  } >"$out/results.txt"
  echo "results: $out/results.json, $out/results.txt"
}

stop() { # the sentence
  write_results
  echo "$1"
  exit 3
}

# ---- all ---------------------------------------------------------------------------------------

nvcc=$(find_nvcc)
architecture=$(find_architecture)
if [ -z "$programs" ]; then
  [ -n "$nvcc" ] || stop "Stopped: no nvcc was found (PATH, CUDA_HOME, /usr/local/cuda)."
  has g++ || stop "Stopped: no g++ was found."
  programs=$out
  started=$(date +%s)
  if ! build >"$out/parts/build.txt" 2>&1; then
    tail -n 40 "$out/parts/build.txt"
    told build FAILED $(($(date +%s) - started))
    write_results
    exit 1
  fi
  told build "went well for $architecture" $(($(date +%s) - started))
fi
# The runtime itself is asked: what it says where no GPU answers is in no other place.
"$programs/bench" check --copied-mib 1 >"$out/parts/bench-check.txt" 2>&1 || true
none=$(grep -Eo 'CUDA error (3|35|36|46|100|101|802|803|999),.*|knows of no GPU' \
  "$out/parts/bench-check.txt" | first_line)
if [ -n "$none" ]; then
  for name in bench kernel-tests memcheck racecheck synccheck engine; do
    skip "$name" "no GPU answers"
  done
  stop "Stopped: all is built, but no GPU answers here, so nothing was run ($none)."
fi
watcher=""
# Pinned memory is taken from the system: a third of what is free, 9 GiB at most.
far=$(awk '/^MemAvailable/ { x = $2 / 1048576 / 3; print (x > 9 ? 9 : x) }' /proc/meminfo)
watch_clocks
run_bench check 30
run_bench card 20
part kernel-tests 100 "$programs/kernels"
run_bench kernels 100
run_bench fetch 60
run_bench step 120
run_sanitizer
run_engine
[ -z "$watcher" ] || kill "$watcher" 2>/dev/null || true
write_results
if [ $failed -ne 0 ]; then
  echo "Something failed: see results.txt."
  exit 1
fi
