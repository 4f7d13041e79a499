#!/usr/bin/env bash
# Trains one model on all GPUs of several nodes of a Slurm cluster.
#
#   sbatch examples/cluster/slurm_train.sh CLIPS RUN
#
# The run is resumed by the same command, also on another number of nodes.
#SBATCH --job-name=jean-train
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@120
set -euo pipefail

if [ "$#" -ne 2 ]; then
  echo "usage: sbatch $0 CLIPS RUN" >&2
  exit 2
fi
clips=$1 run=$2
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

srun torchrun --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node "${SLURM_GPUS_ON_NODE:-8}" \
  --rdzv-id "$SLURM_JOB_ID" --rdzv-backend c10d --rdzv-endpoint "$head:29500" \
  -m jean_cli train-landmarks "$clips" -o "$run" --set batch=4096
