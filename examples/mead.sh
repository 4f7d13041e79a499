#!/usr/bin/env bash
# Reproduces the rows of Tables 1 and 2 of the paper on MEAD, for one person.
#
#   examples/mead.sh MEAD PERSON OUTPUT
#
# MEAD:   folder with PERSON/video/front/EMOTION/level_N/NNN.mp4 and PERSON/audio/… (frontal videos, "part0").
# PERSON: whose head is trained, for example M003.
# OUTPUT: folder of all results; the tables are in OUTPUT/PERSON/tables.
#
# The last video of each emotion is held out. Its expression drives the heads. The held-out neutral video gives the
# speech.
#
# Environment variables:
#   AUDIO=deepspeech      audio features (default: logmel)
#   EMOTION=emoca         emotion features (default: none; then the tracker's coefficients, variant d)
#   PRESET=paper          preset of the heads (default: fast)
#   METHODS="jean a b c"  methods (default: all that the features allow)
#   SMALL=1               presets for little data
#   SIZE=256              side of the frames, px (default: 480)
#   STEPS, STAGE_STEPS    training steps of the heads, and of the other stages
#   TRACKER=truth         face tracker (default: that of jean prepare)
#
# Finished steps are kept, so the same command continues after an interruption.
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
tracker=(${TRACKER:+--tracker "$TRACKER"})
[ -d "$mead/$person/video/front" ] || { echo "error: $mead/$person/video/front does not exist" >&2; exit 3; }

# The evaluation at the end needs these weights, whatever tracker the clips use.
jean models pull face_landmarker.task >/dev/null

# Section 8.1.1: the central 1080 × 1080 of every frontal video at 480 × 480; the sound is in MEAD's audio folder.
while IFS= read -r -d '' video; do
  name=${video#"$mead"/}
  jean prepare --quiet --tracks-only --crop centre --size "${SIZE:-480}" --audio-features "$audio" "${features[@]}" "${tracker[@]}" \
    -o "$output/clips/${name%.*}" -- "$video" >/dev/null
done < <(find "$mead" -path '*/video/front/*/level_*/*.mp4' -print0 | sort -z)

# Section 3.1: landmark autoencoder and audio encoder of all people.
jean train-landmarks "${small[@]}" "${steps[@]}" -o "$output/landmarks" -- "$output/clips"
jean train-audio "${small[@]}" "${steps[@]}" --landmarks "$output/landmarks" --audio-features "$audio" -o "$output/audio" -- "$output/clips"

# Section 3.2: expression transformers of this person, on the tracker's coefficients (variant d) and on EMOTION.
jean train-expr "${expression_preset[@]}" "${steps[@]}" --person "$person" --emotion-features blendshapes -o "$output/$person/expr_d" -- "$output/clips"
[ -z "$emotion" ] ||
  jean train-expr "${expression_preset[@]}" "${steps[@]}" --person "$person" --emotion-features "$emotion" -o "$output/$person/expr" -- "$output/clips"

# Section 8.4.1: about 15 s of each emotion at its highest level, with poses similar to neutral, without the last video.
declare -A held_out=()
heads=()
for name in neutral angry happy sad; do
  [ -d "$mead/$person/video/front/$name" ] || continue
  level=$(find "$mead/$person/video/front/$name" -maxdepth 1 -name 'level_*' | sort | tail -n 1)
  [ -n "$level" ] || continue
  mapfile -d '' -t videos < <(find "$level" -name '*.mp4' -print0 | sort -z)
  [ "${#videos[@]}" -gt 1 ] || { echo "error: $level holds fewer than two videos" >&2; exit 3; }
  held_out[$name]=${videos[-1]}
  unset 'videos[-1]'
  like=()
  [ "$name" = neutral ] || like=(--like "$output/$person/train/neutral")
  jean prepare --quiet --concat --size "${SIZE:-480}" --audio-features "$audio" "${features[@]}" "${tracker[@]}" "${like[@]}" \
    -o "$output/$person/train/$name" -- "${videos[@]}" >/dev/null
  heads+=("$output/$person/train/$name")
done
[ -n "${held_out[neutral]:-}" ] || { echo "error: $person has no neutral videos" >&2; exit 3; }
clip_of() { local name=${1#"$mead"/}; echo "$output/clips/${name%.*}"; }
speech=$(clip_of "${held_out[neutral]}")/audio.wav

# Train a head per method and render the speech with every emotion.
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
  for name in "${!held_out[@]}"; do
    source=(--expression "$(clip_of "${held_out[$name]}")")
    [ "$method" != audio-only ] || source=()
    cp -n -- "${held_out[$name]}" "$output/$person/sources/expression/$name.mp4"
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
