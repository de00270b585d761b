# Everything a user or CI does. `./just` is the same program, fetched where `just` is not installed.

set shell := ["bash", "-euo", "pipefail", "-c"]
set positional-arguments

dgnet := "target/debug/dgnet"

# List the recipes
default:
    @{{ just_executable() }} --list

# Get libtorch and build; every other recipe does this by itself
setup: _libtorch _cargo
    @[ -x {{ dgnet }} ] || echo "building: 10 to 20 minutes the first time, seconds afterwards" >&2
    @cargo build --locked --workspace --bins

# Get libtorch with its GPU half (CUDA 13.0, 3 GB); the same executables then use a GPU
setup-cuda:
    @python3 .setup/libtorch.py --cuda
    @{{ just_executable() }} setup

# Train what a study misses, then write its report: just sweep ablations.yaml
sweep STUDY *ARGS: setup
    @{{ dgnet }} sweep "$@"

# Train one cell of a study: just run ablations.yaml --arm full --seed 1
run STUDY *ARGS: setup
    @{{ dgnet }} run "$@"

# Say what a sweep would do, and whether its seeds can decide anything
plan STUDY *ARGS: setup
    @{{ dgnet }} plan "$@"

# Ask the results database: just query "select arm, avg(mAP) from final group by arm"
query SQL *ARGS: setup
    @{{ dgnet }} query "$@"

# Write the report of a study from the database
report STUDY *ARGS: setup
    @{{ dgnet }} report "$@"

# Draw or check data sets: just data draw --out DIR, just data check DIR
data *ARGS: setup
    @{{ dgnet }} data "$@"

# Run the tests, or those whose names match: just test golden
test FILTER="": _libtorch _cargo
    cargo test --locked --workspace --bins --lib --tests -- {{ FILTER }}

# Start a Slurm of two nodes on this machine and run the tests that need one (root, slurm-wlm, munge)
test-slurm: setup
    tests/slurm/cluster.sh cargo test --locked --workspace --test integration -- --ignored --test-threads 1 slurm

# Drive the report and the live page in a headless Chromium (chromium, chromium-driver)
test-browser: setup
    cargo test --locked --workspace --test integration -- --ignored --test-threads 1 browser

# Train a small study in float32 and in bfloat16 and compare what they find (minutes; a CPU with bfloat16)
test-precision: setup
    cargo test --locked --workspace --test integration -- --ignored --nocapture precision

# Format, lints, docs
lint: _libtorch _cargo
    cargo fmt --all --check
    cargo clippy --locked --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --lib

# Measure speed, beside what just bench-peers installed; appends to benches/results/
bench *ARGS: setup
    benches/bench.sh "$@"

# Get what `just bench` compares with into .peer/: PyTorch, torchvision, TensorBoard, MLflow (5 GB)
bench-peers: peer-setup
    @"${DGNET_PEER_PYTHON:-.peer/bin/python}" -m pip install --quiet torch==2.11.0 torchvision tensorboard mlflow

# Compare the training step with the peer in PyTorch, over drawn settings: just peer --seed 2 (benches/peer/README.md)
peer *ARGS: peer-setup _libtorch _cargo
    #!/usr/bin/env bash
    set -euo pipefail
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    echo "drawing cases: 2 to 10 minutes" >&2
    "${DGNET_PEER_PYTHON:-.peer/bin/python}" benches/peer/cases.py "$folder" "$@"
    DGNET_GOLDEN="$folder" cargo test --locked --workspace --test golden -- extra::

# Time the peer's step: just peer-time small --batch 8 --threads 1 2
peer-time SIZE *ARGS: peer-setup
    @"${DGNET_PEER_PYTHON:-.peer/bin/python}" benches/peer/step_time.py benches/peer/sizes/{{ SIZE }}.json "${@:2}"

# Get PyTorch for the peer into .peer/ (4 GB), unless DGNET_PEER_PYTHON names a Python that has it
peer-setup:
    #!/usr/bin/env bash
    set -euo pipefail
    python="${DGNET_PEER_PYTHON:-.peer/bin/python}"
    if ! "$python" -c 'import torch, numpy' 2>/dev/null; then
        if [ -n "${DGNET_PEER_PYTHON:-}" ]; then
            echo "error: '$DGNET_PEER_PYTHON' cannot import torch and numpy" >&2
            echo "  hint: unset DGNET_PEER_PYTHON, and .peer/ is set up" >&2
            exit 1
        fi
        python3 -m venv .peer
        .peer/bin/pip install --quiet torch==2.11.0 numpy
    fi

# What CI runs
ci: lint && test
    @{{ just_executable() }} setup
    {{ dgnet }} schema --check schema/study.schema.json
    {{ dgnet }} schema --database --check schema/README.md
    if [ -x /usr/sbin/slurmctld ]; then {{ just_executable() }} test-slurm; else echo "no Slurm here: test-slurm is left out" >&2; fi
    if command -v chromedriver >/dev/null && command -v chromium >/dev/null; then {{ just_executable() }} test-browser; else echo "no chromium and chromedriver here: test-browser is left out" >&2; fi

# Remove what was built (not libtorch, not results)
clean:
    cargo clean

# Remake reports/sample/ from its committed export, results.db (the picture needs chromium)
sample: setup
    #!/usr/bin/env bash
    set -euo pipefail
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    cp reports/sample/results.db "$folder/"
    {{ dgnet }} --runs "$folder" report components --out "$folder/report"
    cp "$folder"/report/{index.html,table.csv,table.md} reports/sample/
    chromium --headless --no-sandbox --hide-scrollbars --window-size=1180,1720 \
        --screenshot=reports/sample/report.png "file://$folder/report/index.html"

_libtorch:
    @python3 .setup/libtorch.py

_cargo:
    @command -v cargo >/dev/null || { echo "error: cargo is missing" >&2; echo "  hint: install Rust 1.92 or newer, for example with rustup" >&2; exit 1; }
    @command -v c++ >/dev/null || { echo "error: no C++ compiler is there" >&2; echo "  hint: apt-get install g++" >&2; exit 1; }
