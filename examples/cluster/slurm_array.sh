#!/usr/bin/env bash
# Renders one long video on many nodes of a Slurm cluster, without Ray: every task of the array renders its shard of the
# frames, and the task that finishes last writes the video.
#
#   sbatch examples/cluster/slurm_array.sh RUN SPEECH OUTPUT.mp4
#
# RUN, SPEECH and OUTPUT lie on storage that all nodes share. A task that was lost is started again by the same command:
# finished frames are kept.
#SBATCH --job-name=jean-render
#SBATCH --array=1-16
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --time=01:00:00
#SBATCH --output=jean-render-%A-%a.log
set -euo pipefail

if [ "$#" -ne 3 ]; then
  echo "usage: sbatch $0 RUN SPEECH OUTPUT.mp4" >&2
  exit 2
fi
run=$1 speech=$2 output=$3
shard=${SLURM_ARRAY_TASK_ID:-1}/${SLURM_ARRAY_TASK_COUNT:-1}
export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-2}

jean render "$run" --audio "$speech" -o "$output" --shard "$shard"
