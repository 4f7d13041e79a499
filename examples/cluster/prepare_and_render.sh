#!/usr/bin/env bash
# Prepares a corpus, trains heads and renders a catalogue on the Ray cluster that this machine belongs to.
#
#   examples/cluster/prepare_and_render.sh [FOLDER]
#
# FOLDER (default: /shared/jean) holds videos/, people.csv (output, clips) and catalogue.csv (output, run, audio, expression)
# on storage that all machines share. Finished work is kept: the same command goes on after an interruption.
# Environment variables:
#   CLUSTER=auto   address of the cluster
#   GPUS=1         GPUs of a training; 0 for clusters without
#   SHARE=0.25     GPUs of a worker that prepares or renders
set -euo pipefail

folder=${1:-/shared/jean} cluster=${CLUSTER:-auto} gpus=${GPUS:-1} share=${SHARE:-0.25}
failed=0

jean prepare "$folder/videos" -o "$folder/clips" --match '*.mp4' --skip-unusable --cluster "$cluster" --set gpus="$share"
jean train --jobs "$folder/people.csv" -o "$folder/runs" --cluster "$cluster" --set gpus="$gpus" || failed=$?
jean render --jobs "$folder/catalogue.csv" -o "$folder/videos_out" --cluster "$cluster" --set gpus="$share" || failed=$?
exit "$failed"
