#!/usr/bin/env bash
# Renders one head with many recordings; background, poses and expression come from one clip.
#
#   examples/dub.sh RUN CLIP OUTPUT AUDIO...
#
# RUN:    run folder of jean train-nerf.
# CLIP:   prepared clip that gives pose and expression.
# OUTPUT: folder of the videos, one per recording.
# JOBS=4 renders four recordings in parallel (default: 1).
#
# A recording that fails is reported and does not stop the others; the exit code is then 1.
set -euo pipefail

if [ "$#" -lt 4 ]; then
  echo "usage: $0 RUN CLIP OUTPUT AUDIO..." >&2
  exit 2
fi
run=$1 clip=$2 output=$3
shift 3
mkdir -p -- "$output"

declare -A names=()
for audio in "$@"; do
  name=$(basename -- "$audio")
  if [ -n "${names[${name%.*}]:-}" ]; then
    echo "error: two recordings share the name ${name%.*}.mp4: $audio" >&2
    exit 2
  fi
  names[${name%.*}]=1
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
  echo "error: some recordings failed, see the lines above" >&2
  exit 1
}
