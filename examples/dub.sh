#!/usr/bin/env bash
# Dub one head with many recordings, keeping the source's background, poses and expression.
#
#   examples/dub.sh RUN CLIP OUTPUT AUDIO...
#
# RUN: what train-nerf wrote; CLIP: the prepared clip that gives pose and expression.
# A recording that fails is named at the end and does not stop the others; the exit code is then 1.
# JOBS=4 renders so many at a time (default: 1).
set -euo pipefail

if [ "$#" -lt 4 ]; then
  echo "usage: $0 RUN CLIP OUTPUT AUDIO..." >&2
  exit 2
fi
run=$1 clip=$2 output=$3
shift 3
mkdir -p -- "$output"

declare -A taken=()
for audio in "$@"; do
  name=$(basename -- "$audio")
  if [ -n "${taken[${name%.*}]:-}" ]; then
    echo "two recordings would share the name ${name%.*}.mp4: $audio" >&2
    exit 2
  fi
  taken[${name%.*}]=1
done

dub_one() {
  local run=$1 clip=$2 output=$3 audio=$4 name result
  name=$(basename -- "$audio")
  result=$output/${name%.*}.mp4
  if jean render --quiet --audio "$audio" --expression "$clip" --pose "$clip" --background source \
    -o "$result" -- "$run" >"$result.log" 2>&1; then
    rm -f -- "$result.log"
    echo "$result"
  else
    echo "failed: $audio: $(tail -n 1 -- "$result.log")" >&2
    return 1
  fi
}
export -f dub_one

printf '%s\0' "$@" |
  xargs -0 -n 1 -P "${JOBS:-1}" bash -c 'dub_one "$1" "$2" "$3" "$4" || exit 1' _ "$run" "$clip" "$output" || {
  echo "some recordings failed: see the lines above" >&2
  exit 1
}
