#!/usr/bin/env bash
# From a video of one person to a talking head that says what an audio file says.
#
#   examples/own_video.sh VIDEO AUDIO [FOLDER]
#
# VIDEO: one person facing the camera, the longer the better; AUDIO: any file with speech.
# MINUTES=30 trains longer (default: 10). Run it again after an interruption: it goes on.
set -euo pipefail

if [ "$#" -lt 2 ] || [ "$#" -gt 3 ]; then
  echo "usage: $0 VIDEO AUDIO [FOLDER]" >&2
  exit 2
fi
video=$1 audio=$2 folder=${3:-head}

jean models pull face_landmarker.task
jean prepare -o "$folder/clip" --preview -- "$video"
jean train-nerf -o "$folder/run" --minutes "${MINUTES:-10}" -- "$folder/clip"
jean render --audio "$audio" -o "$folder/result.mp4" -- "$folder/run"
echo "Look at $folder/result.mp4"
