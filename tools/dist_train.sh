#!/usr/bin/env bash
# Train on several GPUs (or CPU processes) of one or more machines through torchrun.
# usage: tools/dist_train.sh CONFIG NUM_PROCESSES [options of tools/train.py]
# more machines: NNODES, NODE_RANK, MASTER_ADDR and PORT in the environment of each
# MAX_RESTARTS=3 … --resume: start again from the newest checkpoint if a process dies
set -eu
if [ $# -lt 2 ]; then sed -n '2,5s/^# //p' "$0"; exit 2; fi
config=$1 processes=$2
shift 2
PYTHONPATH="$(dirname "$0")/..:${PYTHONPATH:-}" exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    --nproc_per_node="$processes" --max_restarts="${MAX_RESTARTS:-0}" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
