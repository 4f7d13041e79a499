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
#
# The same command continues after an interruption.
set -euo pipefail

if [ "$#" -lt 2 ] || [ "$#" -gt 3 ]; then
  echo "usage: $0 VIDEO AUDIO [FOLDER]" >&2
  exit 2
fi
video=$1 audio=$2 folder=${3:-head}

jean prepare -o "$folder/clip" --preview --yes -- "$video"
jean train-nerf -o "$folder/run" --minutes "${MINUTES:-10}" -- "$folder/clip"
jean render --audio "$audio" -o "$folder/result.mp4" -- "$folder/run"
echo "Look at $folder/result.mp4"
