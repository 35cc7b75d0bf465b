#!/usr/bin/env bash
# Train under Slurm.
# GPUS counts processes; GRES= (empty) asks for no GPU: gloo on CPUs
# usage: [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=5] [SRUN_ARGS=…] \
#        tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of tools/train.py]
set -eu
if [ $# -lt 3 ]; then sed -n '2,5s/^# //p' "$0"; exit 2; fi
partition=$1 job=$2 config=$3
shift 3
gpus=${GPUS:-8}
per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
gres=${GRES-gpu:$per_node}
# shellcheck disable=SC2086  # SRUN_ARGS holds several arguments
PYTHONPATH="$(dirname "$0")/..:${PYTHONPATH:-}" exec srun -p "$partition" \
    --job-name="$job" ${gres:+--gres="$gres"} --ntasks="$gpus" \
    --ntasks-per-node="$per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$(dirname "$0")/train.py" "$config" --launcher slurm "$@"
