#!/usr/bin/env bash
# Trains a talking head on a video of one person and renders it with other speech.
#
#   examples/own_video.sh VIDEO AUDIO [FOLDER]
#
# VIDEO:  one person who faces the camera; longer videos give better heads.
# AUDIO:  any file with speech.
# FOLDER: folder of all results (default: head).
# The weights of the face tracker are downloaded if they are missing.
# MINUTES=30 trains for 30 minutes (default: 10).
# EMOTION=emoca takes the expression from an emotion network instead of the tracker's upper face. Its vectors are means
# over a second, so that they do not tell what is said; blinks and gaze are inputs of their own. No pairs of sentences are
# needed.
#
# The same command continues after an interruption.
set -euo pipefail

if [ "$#" -lt 2 ] || [ "$#" -gt 3 ]; then
  echo "usage: $0 VIDEO AUDIO [FOLDER]" >&2
  exit 2
fi
video=$1 audio=$2 folder=${3:-head}

prepare=() train=()
if [ -n "${EMOTION:-}" ]; then
  prepare=(--emotion-features "$EMOTION")
  train=(--set expression=emotion --set "emotion_features=$EMOTION" --set expression_exchange=0.5)
fi
jean prepare -o "$folder/clip" --preview --yes ${prepare[@]+"${prepare[@]}"} -- "$video"
jean train-nerf -o "$folder/run" --minutes "${MINUTES:-10}" ${train[@]+"${train[@]}"} -- "$folder/clip"
jean render --audio "$audio" -o "$folder/result.mp4" -- "$folder/run"
echo "Look at $folder/result.mp4"
