#!/usr/bin/env bash
# The rows of the speed table that need a GPU, from executables that are built already: paper size, batch 8, TF32 beside
# PyTorch eager with TF32, and bf16; the small recipe with and without recorded kernels, which must give the same values;
# runs side by side, without and with NVIDIA's MPS. Under 8 minutes; appends to benches/results/gpu.csv and prints it last.
# Where no GPU is there it says what it leaves out.
#   benches/gpu.sh [FOLDER]     FOLDER holds dgnet and dgnet-worker (default: target/debug); the libtorch that they load
#                               must be one with CUDA (LD_LIBRARY_PATH), python3 (or DGNET_PEER_PYTHON) one that has torch
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-target/debug}
python=${DGNET_PEER_PYTHON:-python3}
out=benches/results/gpu.csv
rows=(
    "step of base/paper.yaml of batch 8 in TF32"
    "step of base/paper.yaml of batch 8 in bf16"
    "step of base/small.yaml of batch 8 in TF32"
    "runs side by side"
)
if ! card=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1); then
    echo "no GPU is here; left out:"
    printf '  %s\n' "${rows[@]}"
    exit 0
fi
work=$(mktemp -d)
watcher=
# nothing of ours is left running, whatever ends the script
leave() {
    [ -z "$watcher" ] || kill "$watcher" 2>/dev/null || true
    [ ! -d "$work/mps" ] || echo quit | nvidia-cuda-mps-control || true
    rm -rf "$work"
}
trap leave EXIT
# the memory of the whole card, which must be idle otherwise, while a command runs
watch_memory() {
    nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits -lms 200 >"$work/memory" &
    watcher=$!
    "$@"
    kill "$watcher"
    watcher=
}
most() { sort -n "$work/memory" | tail -n 1; }
[ -f "$out" ] || echo "date,card,what,who,median_s,gpu_mib" >"$out"
note() { echo "$(date -u +%F),$card,$1,$2,$3,$4" >>"$out"; }

cat >"$work/paper.yaml" <<YAML
study: paper
extends: $PWD/experiments/base/paper.yaml
data: { drawn: { ids: 24, cameras: 4, height: 128, width: 64 } }
train: { steps: 60, batch: 8, decay_at: [], device: cuda:0, log_every: 1 }
teacher: { epochs: 1, decay_epoch: 1 }
loss: { ramp_start: 0, ramp_steps: 1, ramp_steps_code: 1 }
eval: { swap_pairs: 0 }
pictures: { grid: 0 }
augment: { erasing: 0 }
arms: { tf32: { train.precision: tf32 }, bf16: { train.precision: bf16 } }
YAML
for precision in tf32 bf16; do
    watch_memory "$folder/dgnet" --runs "$work/runs" run "$work/paper.yaml" --arm "$precision" --seed 1 >/dev/null
    median=$("$folder/dgnet" --runs "$work/runs" query --format csv "select value from curves where arm = '$precision'
        and metric = 'step_seconds' and step > 20 order by value limit 1 offset 20" | tail -n 1)
    if [ "$precision" = tf32 ]; then what=${rows[0]}; else what=${rows[1]}; fi
    note "$what" dgnet "$median" "$(most)"
done
watch_memory "$python" benches/peer/step_time.py benches/peer/sizes/paper.json --batch 8 --classes 14 --repeat 20 \
    --device cuda --tf32 >"$work/peer.csv"
note "${rows[0]}" PyTorch "$(tail -n 1 "$work/peer.csv" | cut -d, -f6)" "$(most)"

cat >"$work/small.yaml" <<YAML
study: small
extends: $PWD/experiments/base/small.yaml
seeds: 12
train: { steps: 300, decay_at: [], device: cuda:0, precision: tf32, log_every: 1, loader_workers: 2, checkpoint_every: 1000 }
teacher: { epochs: 1, decay_epoch: 1 }
loss: { ramp_start: 5, ramp_steps: 4, ramp_steps_code: 3 }
eval: { every: 300, swap_pairs: 0 }
pictures: { grid: 0 }
arms: { full: {} }
YAML
ask() { "$folder/dgnet" --runs "$work/$1" query --format csv "$2"; }
steps="from curves where metric = 'step_seconds' and step > 150"
for graphs in true false; do
    "$folder/dgnet" --runs "$work/$graphs" run "$work/small.yaml" --arm full --seed 1 --set train.graphs=$graphs >/dev/null
    if [ $graphs = true ]; then who=dgnet; else who="dgnet without recorded kernels"; fi
    note "${rows[2]}" "$who" "$(ask $graphs "select avg(value) $steps" | tail -n 1)" ""
    ask $graphs "select step, metric, value from curves where metric != 'step_seconds' order by step, metric" >"$work/$graphs.csv"
done
cmp "$work/true.csv" "$work/false.csv" || {
    echo "error: recorded kernels gave other values" >&2
    exit 1
}
side_by_side() { # RUNS WHO: steps a second of all together
    sed "s/^seeds: .*/seeds: $1/" "$work/small.yaml" >"$work/side.yaml"
    "$folder/dgnet" --runs "$work/side" sweep "$work/side.yaml" --devices "cuda:0=$1" --no-report >/dev/null
    note "$1 runs side by side, steps/s of all" "$2" "$(ask side "select $1 / avg(value) $steps" | tail -n 1)" ""
    rm -rf "$work/side"
}
side_by_side 2 dgnet
side_by_side 6 dgnet
if command -v nvidia-cuda-mps-control >/dev/null; then
    export CUDA_MPS_PIPE_DIRECTORY="$work/mps" CUDA_MPS_LOG_DIRECTORY="$work/mps"
    mkdir -p "$work/mps"
    nvidia-cuda-mps-control -d
    side_by_side 6 "dgnet with MPS"
    side_by_side 12 "dgnet with MPS"
fi
cat "$out"
