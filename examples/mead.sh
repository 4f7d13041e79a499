#!/usr/bin/env bash
# Reproduces the rows of Tables 1 and 2 and of Figure 6 of the paper on MEAD, for one or several people.
#
#   examples/mead.sh MEAD OUTPUT PERSON...
#
# MEAD:   folder with PERSON/video/front/EMOTION/level_N/NNN.mp4 and PERSON/audio/… (frontal videos, "part0").
# OUTPUT: folder of all results; the tables, means over all people, are in OUTPUT/tables.
# PERSON: whose heads are trained, for example M003 W009; the paper has four.
#
# The last TESTS videos of each emotion and level of these people are held out of every stage. Their expressions and
# poses drive the heads, with the sound of the held-out neutral videos. OUTPUT/pairs.csv lists which drives which.
#
# Environment variables:
#   AUDIO=logmel          audio features (default: deepspeech, the paper's)
#   EMOTION=none          emotion features (default: emoca, the paper's); none: the tracker's coefficients, without the
#                         methods jean, a and c, which need an emotion network
#   PRESET=fast           preset of the heads (default: paper)
#   METHODS="jean d"      methods (default: all that the features allow); figure6 is jean without expression input
#   TESTS=3               held-out videos of each emotion, and speeches per emotion
#   SMALL=1               presets for little data
#   SIZE=256              side of the frames, px (default: 480)
#   STEPS, STAGE_STEPS    training steps of the heads, and of the other stages
#   TRACKER=truth         face tracker (default: that of jean prepare)
#   WORKERS=8             processes of jean prepare (default: one per core)
#   SYSTEMS="EAMM=DIR …"  folders with other systems' results to score, named as in pairs.csv
#   ALLOW_MISSING=1       leave out metrics whose weights cannot be had
#
# Finished steps are kept, so the same command continues after an interruption. Videos that cannot be used are skipped
# and counted; a failed training or render does not stop the others, is listed at the end, and gives exit code 1.
set -euo pipefail

if [ "$#" -lt 3 ]; then
  echo "usage: $0 MEAD OUTPUT PERSON..." >&2
  exit 2
fi
mead=$1 output=$2
shift 2
people=("$@")
audio=${AUDIO:-deepspeech} emotion=${EMOTION:-emoca} preset=${PRESET:-paper} tests=${TESTS:-3}
[ "$emotion" != none ] || emotion=
small=() expression_preset=(--preset paper) features=() allow_missing=()
[ -z "${SMALL:-}" ] || { small=(--preset small) expression_preset=(--preset small); }
[ -z "$emotion" ] || features=(--emotion-features "$emotion")
if [ -n "$emotion" ]; then default="jean audio-only expression-only a b c d figure6"; else default="d audio-only expression-only b figure6"; fi
methods=${METHODS:-$default}
steps=(${STAGE_STEPS:+--steps "$STAGE_STEPS"})
tracker=(${TRACKER:+--tracker "$TRACKER"})
[ -z "${ALLOW_MISSING:-}" ] || allow_missing=(--allow-missing)
for person in "${people[@]}"; do
  [ -d "$mead/$person/video/front" ] || { echo "error: $mead/$person/video/front does not exist" >&2; exit 3; }
done
mead=$(cd -- "$mead" && pwd)
mkdir -p "$output"
failures=$output/failures.txt
: >"$failures"
attempt() { # runs a command; notes its failure and goes on
  local code=0
  "$@" || code=$?
  case $code in
  0) ;;
  130 | 143) exit "$code" ;;
  *) printf 'exit %s: %s\n' "$code" "$*" >>"$failures" ;;
  esac
  return "$code"
}

# The evaluation at the end needs these weights; better to know it now.
jean models pull --for evaluate >/dev/null || [ -n "${ALLOW_MISSING:-}" ] || {
  echo "error: the metrics need these weights; ALLOW_MISSING=1 leaves out what cannot be had" >&2
  exit 5
}

# Links to the frontal videos: one tree for training, one for tests. The sound stays in MEAD's audio folder.
is_test_person() { [[ " ${people[*]} " == *" $1 "* ]]; }
while IFS= read -r -d '' level; do
  name=${level#"$mead"/}
  mapfile -d '' -t videos < <(find "$level" -maxdepth 1 -name '*.mp4' -print0 | sort -z)
  last=${#videos[@]}
  if is_test_person "${name%%/*}"; then last=$((last > tests ? last - tests : 0)); fi
  mkdir -p "$output/videos/train/$name" "$output/videos/test/$name"
  for i in "${!videos[@]}"; do
    if ((i < last)); then part=train; else part=test; fi
    ln -sf -- "${videos[i]}" "$output/videos/$part/$name/"
  done
done < <(find "$mead" -path '*/video/front/*/level_*' -type d -print0 | sort -z)

# Section 8.1.1: the central 1080 × 1080 of every frontal video at 480 × 480. Only the people whose expression
# transformers are trained need emotion features.
prepare=(jean prepare --quiet --skip-unusable --need-sound --size "${SIZE:-480}" --audio-features "$audio" "${tracker[@]}" ${WORKERS:+--workers "$WORKERS"})
for person in "${people[@]}"; do
  attempt "${prepare[@]}" --tracks-only --crop centre "${features[@]}" --match "$person/*" -o "$output/clips" -- "$output/videos/train" >/dev/null || true
  attempt "${prepare[@]}" --tracks-only --crop centre "${features[@]}" --match "$person/*" -o "$output/tests" -- "$output/videos/test" >/dev/null || true
done
while IFS= read -r person; do
  is_test_person "$person" ||
    attempt "${prepare[@]}" --tracks-only --crop centre --match "$person/*" -o "$output/clips" -- "$output/videos/train" >/dev/null || true
done < <(cd -- "$output/videos/train" && printf '%s\n' */ | sed 's:/$::')

# Section 3.1: landmark autoencoder and audio encoder of all people.
jean train-landmarks "${small[@]}" "${steps[@]}" -o "$output/landmarks" -- "$output/clips"
jean train-audio "${small[@]}" "${steps[@]}" --landmarks "$output/landmarks" --audio-features "$audio" -o "$output/audio" -- "$output/clips"

mkdir -p "$output/sources/expression" "$output/sources/audio"
echo "result,person,expression,speech" >"$output/pairs.csv"
for person in "${people[@]}"; do
  # Section 3.2: expression transformers of this person, on the tracker's coefficients (variant d) and on EMOTION.
  case " $methods " in *" d "*)
    attempt jean train-expr "${expression_preset[@]}" "${steps[@]}" --person "$person" --emotion-features blendshapes -o "$output/$person/expr_d" -- "$output/clips" || true ;;
  esac
  case " $methods " in *" jean "*)
    attempt jean train-expr "${expression_preset[@]}" "${steps[@]}" --person "$person" --emotion-features "$emotion" -o "$output/$person/expr" -- "$output/clips" || true ;;
  esac

  # Section 8.4.1: about 15 s of each emotion at its highest level, with poses similar to neutral. The held-out videos
  # of that level are the tests.
  heads=()
  unset speeches
  declare -A expressions=()
  for name in neutral angry happy sad; do
    level=$(find "$output/videos/train/$person/video/front/$name" -maxdepth 1 -name 'level_*' 2>/dev/null | sort | tail -n 1 || true)
    [ -n "$level" ] || { echo "$person has no $name videos." >&2; continue; }
    mapfile -d '' -t videos < <(find "$level" -name '*.mp4' -print0 | sort -z)
    [ "${#videos[@]}" -gt 0 ] || { echo "$person has too few $name videos." >&2; continue; }
    like=()
    [ "$name" = neutral ] || [ ! -d "$output/$person/train/neutral" ] || like=(--like "$output/$person/train/neutral")
    attempt "${prepare[@]}" --concat "${features[@]}" "${like[@]}" -o "$output/$person/train/$name" -- "${videos[@]}" >/dev/null &&
      heads+=("$output/$person/train/$name")
    expressions[$name]=$(find "$output/tests/${level#"$output/videos/train/"}" -name clip.json -printf '%h\n' 2>/dev/null | sort || true)
    [ "$name" != neutral ] || mapfile -t speeches <<<"${expressions[neutral]}"
  done
  if [ "${#heads[@]}" -eq 0 ] || [ -z "${speeches[0]:-}" ]; then
    echo "exit 3: $person has no neutral videos to train and to test on" >>"$failures"
    continue
  fi

  # A head per method; each emotion with each speech. No test is driven by one video alone.
  for method in $methods; do
    runs=(--method "$method")
    case $method in jean | c | d) runs+=(--audio "$output/audio") ;; esac
    case $method in
    jean) runs+=(--expr "$output/$person/expr") ;;
    d) runs+=(--expr "$output/$person/expr_d") ;;
    figure6) runs=(--audio "$output/audio" --set expression=none) ;;
    esac
    head=$output/$person/heads/$method
    attempt jean train-nerf --preset "$preset" "${runs[@]}" ${STEPS:+--steps "$STEPS"} -o "$head" -- "${heads[@]}" || continue
    for name in "${!expressions[@]}"; do
      mapfile -t sources <<<"${expressions[$name]}"
      [ -n "${sources[0]}" ] || continue
      for i in "${!speeches[@]}"; do
        source=${sources[$(((i + 1) % ${#sources[@]}))]} speech=${speeches[i]}
        [ "$source" != "$speech" ] || continue
        test=${person}_${name}_$((i + 1))
        expression=(--expression "$source")
        case $method in audio-only | figure6) expression=() ;; esac
        attempt jean render --quiet --audio "$speech/audio.wav" "${expression[@]}" --pose "$source" --pose-mode absolute \
          -o "$output/results/$method/$test.mp4" -- "$head" >/dev/null || continue
        video=$output/videos/test/${source#"$output/tests/"}.mp4
        ln -sf -- "$(readlink -f -- "$video")" "$output/sources/expression/$test.mp4"
        cp -- "$speech/audio.wav" "$output/sources/audio/$test.wav"
        grep -q "^$test," "$output/pairs.csv" || echo "$test,$person,${source#"$output/tests/"},${speech#"$output/tests/"}" >>"$output/pairs.csv"
      done
    done
  done
done

systems=()
for method in $methods; do
  [ -d "$output/results/$method" ] || continue
  systems+=(--system "$method=$output/results/$method")
  case $method in
  audio-only | figure6) systems+=(--no-expression "$method") ;;
  expression-only) systems+=(--no-audio "$method") ;;
  esac
done
for system in ${SYSTEMS:-}; do systems+=(--system "$system"); done
attempt jean evaluate "${systems[@]}" --expression-source "$output/sources/expression" --audio-source "$output/sources/audio" \
  "${allow_missing[@]}" -o "$output/tables" || true
if [ -s "$failures" ]; then
  echo "These steps failed; the same command tries them again:" >&2
  cat "$failures" >&2
  exit 1
fi
echo "Look at $output/tables"
