#!/usr/bin/env bash
# From MEAD's folder to the rows of Tables 1 and 2 of the paper, for one person.
#
#   examples/mead.sh MEAD PERSON OUTPUT
#
# MEAD: a folder with PERSON/video/front/EMOTION/level_N/NNN.mp4 and PERSON/audio/…, frontal videos ("part0") of
# everybody; PERSON: whose head, such as M003. The last video of each emotion is kept back: its expression drives
# the heads, the speech of the one kept back from neutral is what they say.
# AUDIO=deepspeech (default: logmel), EMOTION=emoca (default: none, the tracker's coefficients: variant d),
# PRESET=paper (default: fast), METHODS="jean a b c" (default: all that the features allow), SMALL=1 (the presets
# for little data), STEPS and STAGE_STEPS (of the heads and of the other stages). Run it again after an interruption: every step is kept.
set -euo pipefail

if [ "$#" -ne 3 ]; then
  echo "usage: $0 MEAD PERSON OUTPUT" >&2
  exit 2
fi
mead=$1 person=$2 output=$3
audio=${AUDIO:-logmel} emotion=${EMOTION:-} preset=${PRESET:-fast}
small=() expression_preset=(--preset small) features=()
if [ -z "${SMALL:-}" ]; then expression_preset=(--preset paper); else small=(--preset small); fi
steps=(${STAGE_STEPS:+--steps "$STAGE_STEPS"})
[ -z "$emotion" ] || features=(--emotion-features "$emotion")
if [ -n "$emotion" ]; then methods=${METHODS:-jean audio-only expression-only a b c d}; else methods=${METHODS:-d audio-only expression-only b}; fi
# a tracker other than the default, for data whose truth is known
tracker=(${TRACKER:+--tracker "$TRACKER"})
[ -d "$mead/$person/video/front" ] || { echo "error: $mead/$person/video/front is not there" >&2; exit 3; }

# the evaluation at the end needs it whatever the clips are tracked with
jean models pull face_landmarker.task >/dev/null

# 8.1.1: the middle 1080 × 1080 of every frontal video, at 480 × 480; sound from MEAD's own tree
while IFS= read -r -d '' video; do
  name=${video#"$mead"/}
  jean prepare --quiet --tracks-only --crop centre --size "${SIZE:-480}" --audio-features "$audio" "${features[@]}" "${tracker[@]}" \
    -o "$output/clips/${name%.*}" -- "$video" >/dev/null
done < <(find "$mead" -path '*/video/front/*/level_*/*.mp4' -print0 | sort -z)

# 3.1, over everybody
jean train-landmarks "${small[@]}" "${steps[@]}" -o "$output/landmarks" -- "$output/clips"
jean train-audio "${small[@]}" "${steps[@]}" --landmarks "$output/landmarks" --audio-features "$audio" -o "$output/audio" -- "$output/clips"

# 3.2, for this person; features of a network, and the tracker's coefficients for variant d
jean train-expr "${expression_preset[@]}" "${steps[@]}" --person "$person" --emotion-features blendshapes -o "$output/$person/expr_d" -- "$output/clips"
[ -z "$emotion" ] ||
  jean train-expr "${expression_preset[@]}" "${steps[@]}" --person "$person" --emotion-features "$emotion" -o "$output/$person/expr" -- "$output/clips"

# 8.4.1: about 15 s of each emotion at its highest level, poses like those of neutral; the last video is kept back
declare -A kept=()
heads=()
for name in neutral angry happy sad; do
  [ -d "$mead/$person/video/front/$name" ] || continue
  level=$(find "$mead/$person/video/front/$name" -maxdepth 1 -name 'level_*' | sort | tail -n 1)
  [ -n "$level" ] || continue
  mapfile -d '' -t videos < <(find "$level" -name '*.mp4' -print0 | sort -z)
  [ "${#videos[@]}" -gt 1 ] || { echo "error: $level holds fewer than two videos" >&2; exit 3; }
  kept[$name]=${videos[-1]}
  unset 'videos[-1]'
  like=()
  [ "$name" = neutral ] || like=(--like "$output/$person/train/neutral")
  jean prepare --quiet --concat --size "${SIZE:-480}" --audio-features "$audio" "${features[@]}" "${tracker[@]}" "${like[@]}" \
    -o "$output/$person/train/$name" -- "${videos[@]}" >/dev/null
  heads+=("$output/$person/train/$name")
done
[ -n "${kept[neutral]:-}" ] || { echo "error: $person has no neutral videos" >&2; exit 3; }
clip_of() { local name=${1#"$mead"/}; echo "$output/clips/${name%.*}"; }
speech=$(clip_of "${kept[neutral]}")/audio.wav

# the heads, and what each makes of that speech with every emotion
mkdir -p "$output/$person/sources/expression" "$output/$person/sources/audio"
systems=()
for method in $methods; do
  runs=()
  case $method in jean | c | d) runs+=(--audio "$output/audio") ;; esac
  case $method in
  jean) runs+=(--expr "$output/$person/expr") ;;
  d) runs+=(--expr "$output/$person/expr_d") ;;
  esac
  jean train-nerf --method "$method" --preset "$preset" "${runs[@]}" ${STEPS:+--steps "$STEPS"} \
    -o "$output/$person/heads/$method" -- "${heads[@]}"
  for name in "${!kept[@]}"; do
    source=(--expression "$(clip_of "${kept[$name]}")")
    [ "$method" != audio-only ] || source=()
    cp -n -- "${kept[$name]}" "$output/$person/sources/expression/$name.mp4"
    cp -n -- "$speech" "$output/$person/sources/audio/$name.wav"
    jean render --audio "$speech" "${source[@]}" -o "$output/$person/results/$method/$name.mp4" -- "$output/$person/heads/$method"
  done
  systems+=(--system "$method=$output/$person/results/$method")
  case $method in
  audio-only) systems+=(--no-expression "$method") ;;
  expression-only) systems+=(--no-audio "$method") ;;
  esac
done
jean evaluate "${systems[@]}" --expression-source "$output/$person/sources/expression" \
  --audio-source "$output/$person/sources/audio" --allow-missing -o "$output/$person/tables"
echo "Look at $output/$person/tables"
