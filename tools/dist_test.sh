#!/usr/bin/env bash
# Test on several GPUs (or CPU processes) of one or more machines through torchrun.
# usage: tools/dist_test.sh CONFIG CHECKPOINT NUM_PROCESSES [options of tools/test.py]
# more machines: NNODES, NODE_RANK, MASTER_ADDR and PORT in the environment of each
# MAX_RESTARTS=3: start again if a process dies
set -eu
if [ $# -lt 3 ]; then sed -n '2,5s/^# //p' "$0"; exit 2; fi
config=$1 checkpoint=$2 processes=$3
shift 3
# processes that are started again need a store without the addresses of those that died
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
rendezvous=(--rdzv_backend=c10d --rdzv_endpoint="${MASTER_ADDR:-127.0.0.1}:${PORT:-29500}"
    --rdzv_id="${PORT:-29500}" --rdzv_conf="is_host=$((${NODE_RANK:-0} == 0))")
if [ "${NNODES:-1}" = 1 ]; then rendezvous+=(--local_addr=127.0.0.1); fi
PYTHONPATH="$(dirname "$0")/..:${PYTHONPATH:-}" exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" "${rendezvous[@]}" \
    --nproc_per_node="$processes" --max_restarts="${MAX_RESTARTS:-0}" \
    "$(dirname "$0")/test.py" "$config" "$checkpoint" --launcher pytorch "$@"
