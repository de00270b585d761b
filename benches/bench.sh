#!/usr/bin/env bash
# Measures what a user waits for and appends it, with the machine's facts, to benches/results/bench.csv. Where a peer
# does the same work and `just bench-peers` has installed it, it is measured in the same run. A table with the ratios
# comes last: to peers, and to the floor, which is the time of the products that the work consists of at the speed of
# large square ones.
#   just bench [PART...]     parts: start plan draw check step paper peak load rank rerank rerun report large store engine
#                            (default: start plan draw check step load rank)
#   just bench scaling       the curves: more runs at a time, larger galleries and plans (benches/results/scaling.csv);
#                            one of them: scaling_runs scaling_rank scaling_plan
#   just bench plots         draws them (benches/results/*.png)
set -euo pipefail
cd "$(dirname "$0")/.."
dgnet=target/debug/dgnet
out=benches/results/bench.csv
mkdir -p benches/results
[ -f "$out" ] || echo "date,commit,processor,cores,part,what,who,median,unit" >"$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$work/rows"
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
today=$(date -u +%F)
commit=$(git rev-parse --short HEAD 2>/dev/null || echo none)

note() { # part what median unit [who]
    printf '%-8s %-52s %-22s %10s %s\n' "$1" "$2" "${5:-dgnet}" "$3" "$4"
    echo "$today,$commit,${processor:-unknown},$(nproc),$1,$2,${5:-dgnet},$3,$4" | tee -a "$work/rows" >>"$out"
}
# the ratio of every peer's figure to ours, whatever is better: seconds should be small, values/s large
ratios() {
    awk -F, '$7 == "dgnet" {ours[$5 FS $6] = $8}
        $7 != "dgnet" && ($5 FS $6) in ours && $8 > 0 {
            if (!told++) printf "\n%-52s %10s %-22s %10s %-9s %s\n", "work", "dgnet", "peer", "", "unit", "dgnet / peer"
            printf "%-52s %10s %-22s %10s %-9s %.3f\n", $6, ours[$5 FS $6], $7, $8, $9, ours[$5 FS $6] / $8
        }' "$work/rows"
}
peer_python="${DGNET_PEER_PYTHON:-.peer/bin/python}"
has_peers() {
    "$peer_python" -c 'import torch, torchvision, mlflow' 2>/dev/null && return
    echo "no peers are installed (just bench-peers): they are left out" >&2
    return 1
}
# lines of `what,who,median,unit` from a program that measures
measured() { # part command...
    local part=$1 what who value unit
    shift
    while IFS=, read -r what who value unit; do note "$part" "$what" "$value" "$unit" "$who"; done \
        < <("$@" 2>"$work/measured.log" || cat "$work/measured.log" >&2)
}
peers() { # part arguments of speed.py
    local part=$1
    shift
    has_peers || return 0
    measured "$part" "$peer_python" benches/peer/speed.py "$@"
}
speed() { # part arguments of speed.rs
    local part=$1
    shift
    measured "$part" cargo test --quiet --locked --workspace --bench speed -- "$@"
}
median() { sort -n | awk '{v[NR] = $1} END {print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
ms() { # times COMMAND: median wall time in ms
    local times=$1 began
    shift
    for _ in $(seq "$times"); do
        began=$(date +%s%N)
        "$@" >/dev/null 2>&1
        echo $((($(date +%s%N) - began) / 1000000))
    done | median
}
seconds() { awk "BEGIN {print $(ms "$@") / 1000}"; }

start() {
    note start "dgnet --help" "$(ms 20 $dgnet --help)" ms
    # a run of one step that finds its few photos and its teacher made, with all that a run leaves
    local set=("${quick[@]}" --set train.steps=1 --set train.decay_at=[] --set loss.ramp_start=0 --set data.drawn.ids=24
        --set data.drawn.test_share=0.2)
    first_step() { rm -rf "$work"/start/{ablations,.stages/{prefix,training,evaluation,pictures}} && $dgnet --runs "$work/start" run ablations.yaml --arm full --seed 1 "${set[@]}"; }
    first_step >/dev/null 2>&1
    note start "a process that takes one step" "$(seconds 5 first_step)" s
    peers start start benches/peer/sizes/small.json
}
load() {
    # photos of Market-1501's size
    $dgnet data draw --out "$work/market" --ids 160 --cameras 4 --seed 1 --height 128 --width 64 >/dev/null 2>&1
    speed load load "$work/market"
    peers load load "$work/market"
}
rank() {
    speed rank rank
    peers rank rank
    speed rank rank-large
}
rerank() {
    speed rerank rerank
    peers rerank rerank
}
draw_anew() {
    rm -rf "$work/fresh"
    $dgnet data draw --out "$work/fresh" --ids 160 --cameras 4 --seed 1
}
draw() { note draw "draw the default people (160 persons)" "$(ms 3 draw_anew)" ms; }
check() {
    $dgnet data draw --out "$work/people" --ids 160 --cameras 4 --seed 1 >/dev/null 2>&1
    note check "data check of the default people" "$(ms 3 $dgnet data check "$work/people")" ms
}
rerun() { note rerun "sweep of the finished default study" "$(ms 5 $dgnet sweep ablations.yaml)" ms; }
report() { note report "report of the finished default study" "$(ms 3 $dgnet report ablations.yaml --out "$work/report")" ms; }
large() {
    # 20 arms x 25 seeds, 10 metrics at 10,000 steps: 50 million values
    mkdir -p "$work/large"
    $dgnet --runs "$work/large" reindex >/dev/null
    python3 - "$work/large/results.db" <<'EOF'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("pragma foreign_keys = off")
db.execute("insert into study values ('large', 'How long?', 'mAP', 0.005, 'arm_00', '[]', 'large.yaml', '', 0, null, null)")
names = [("mAP", "", "higher"), ("step_seconds", "s", "lower")] + [(f"loss_{k}", "", "lower") for k in range(8)]
db.executemany("insert or ignore into metric_name (name, unit, direction) values (?, ?, ?)", names)
ids = [db.execute("select id from metric_name where name = ?", name[:1]).fetchone()[0] for name in names]
steps = "with recursive steps(t) as (select 1 union all select t + 1 from steps where t < 10000)"
for arm in range(20):
    db.execute("insert into arm values ('large', ?, ?, ?, ?)", (f"arm_{arm:02}", arm, f"arm_{arm:02}", '{"loss.lambda_img": %d}' % arm))
    for seed in range(1, 26):
        number, uid = 25 * arm + seed, f"{25 * arm + seed:064x}"
        db.execute("insert into run values (?, ?, 'done', 1, ?, 10000, 10000, 2, 'data', '{}', '{}', null, 0, 9, 9, 9, 1)", (uid, uid, seed))
        db.execute("insert into cell values ('large', ?, ?, ?)", (f"arm_{arm:02}", seed, uid))
        db.execute("insert into run_number values (?, ?)", (number, uid))
        for k, name in enumerate(ids):
            db.execute(steps + " insert into metric select ?, ?, t, (t * ? + ? * 7919) % 1009 / 1009.0, null from steps", (number, name, k + 2, number))
db.commit()
EOF
    note large "report of 500 runs x 10 metrics x 10000 steps" "$(ms 1 $dgnet --runs "$work/large" report large --out "$work/large-report")" ms
    note large "its memory" "$(memory $dgnet --runs "$work/large" report large --out "$work/large-report")" MB
}
quick=(--set eval.swap_pairs=0 --set pictures.grid=0 --set teacher.epochs=1 --set teacher.decay_epoch=1 --set train.log_every=1)
# median seconds of a run's steps, those with every loss on
step_seconds() {
    $dgnet --runs "$1" query "select value from curves where metric = 'step_seconds' and step > $2 order by value
        limit 1 offset (select count(*) / 2 from curves where metric = 'step_seconds' and step > $2)" --format csv | tail -n 1
}
# seconds of a step, ours and the peer's: medians over rounds in which they take turns, since a machine has slow minutes
by_turns() { # part what rounds ours size arguments of step_time.py
    local part=$1 what=$2 rounds=$3 ours=$4 size=$5 round beside=
    shift 5
    ! has_peers || beside=1
    : >"$work/ours" && : >"$work/theirs"
    for round in $(seq "$rounds"); do
        "$ours" "$round" >>"$work/ours"
        [ -z "$beside" ] || "$peer_python" benches/peer/step_time.py "benches/peer/sizes/$size.json" --floor "$@" | tail -n 1 >>"$work/theirs"
    done
    note "$part" "$what" "$(median <"$work/ours")" s
    [ -n "$beside" ] || return 0
    note "$part" "$what" "$(cut -d, -f6 "$work/theirs" | median)" s PyTorch
    note "$part" "$what" "$(cut -d, -f10 "$work/theirs" | median)" s floor
}
has_bf16() { grep -qw avx512_bf16 /proc/cpuinfo; }
step() {
    # the small recipe, one thread; then two runs side by side with one thread each, against one run with two threads
    local two set=("${quick[@]}" --set train.steps=60 --set loss.ramp_start=20 --set loss.ramp_steps=4 --set loss.ramp_steps_code=4
        --set train.decay_at=[50])
    one_run() { # name seed threads more settings
        local name=$1 seed=$2 threads=$3
        shift 3
        $dgnet --runs "$work/$name" run ablations.yaml --arm full --seed "$seed" "${set[@]}" --set "train.threads=$threads" "$@" >/dev/null 2>&1
    }
    alone() { one_run "alone-$1" 1 1 && step_seconds "$work/alone-$1" 30; }
    by_turns step "step of base/small.yaml of batch 8 on one thread" 5 alone small --batch 8 --classes 96 --threads 1
    if has_bf16; then
        one_run narrow 1 1 --set train.precision=bf16
        note step "step of base/small.yaml of batch 8 on one thread" "$(step_seconds "$work/narrow" 30)" s "dgnet in bf16"
    fi
    one_run a 1 1 &
    one_run b 2 1
    wait
    two=$(awk "BEGIN {print 1 / $(step_seconds "$work/a" 30) + 1 / $(step_seconds "$work/b" 30)}")
    one_run c 1 2
    note step "two runs side by side with one thread each" "$two" steps/s
    note step "one run of two threads" "$(awk "BEGIN {print 1 / $(step_seconds "$work/c" 30)}")" steps/s
}
# the paper's size: 256x128, ResNet-50 trained and ResNet-50 teaching, two threads
paper_study() { # batch steps
    cat >"$work/paper.yaml" <<YAML
study: paper
extends: $PWD/experiments/base/paper.yaml
data: { drawn: { ids: 24, cameras: 4, height: 128, width: 64 } }
train: { steps: $2, batch: $1, decay_at: [], threads: 2 }
teacher: { batch: 4 }
loss: { ramp_start: 0, ramp_steps: 1, ramp_steps_code: 1 }
arms: { full: {} }
YAML
}
paper_run=(--arm full --seed 1 "${quick[@]}")
paper() {
    local what="step of base/paper.yaml of batch 2 on two threads"
    paper_study 2 8
    whole() { # name more settings
        $dgnet --runs "$work/paper-$1" run "$work/paper.yaml" "${paper_run[@]}" "${@:2}" >/dev/null 2>&1 && step_seconds "$work/paper-$1" 3
    }
    by_turns paper "$what" 2 whole paper --batch 2 --classes 14 --threads 2 --repeat 5
    if has_bf16; then note paper "$what" "$(whole narrow --set train.precision=bf16)" s "dgnet in bf16"; fi
}
peak() {
    # the largest process: of ours that of a whole run, evaluation included; PyTorch takes steps alone
    local what="peak memory of base/paper.yaml of batch 8"
    paper_study 8 3
    note peak "$what" "$(memory $dgnet --runs "$work/peak" run "$work/paper.yaml" "${paper_run[@]}")" MB
    if has_bf16; then
        note peak "$what" "$(memory $dgnet --runs "$work/peak" run "$work/paper.yaml" "${paper_run[@]}" --set train.precision=bf16)" MB "dgnet in bf16"
    fi
    has_peers || return 0
    note peak "$what" "$(memory "$peer_python" benches/peer/step_time.py benches/peer/sizes/paper.json --batch 8 --classes 14 \
        --threads 2 --warm-up 1 --repeat 1)" MB PyTorch
}
grid() { # side seeds: a study of side x side arms
    local values
    values=$(awk -v n="$1" 'BEGIN {for (k = 1; k <= n; k++) printf "%s%.3f", (k > 1 ? ", " : ""), k / 100}')
    cat >"$work/grid.yaml" <<EOF
study: grid
extends: $PWD/experiments/base/small.yaml
seeds: $2
arms: { full: {} }
vary:
  - grid: { loss.lambda_img: [$values], loss.lambda_prim: [$values] }
EOF
}
plan() {
    # a grid of 100,000 runs, over an empty runs folder: 10,000 arms with 10 seeds, and 100,000 arms with one
    local shape arms seeds
    for shape in "100 10" "316 1"; do
        read -r arms seeds <<<"$shape"
        grid "$arms" "$seeds"
        note plan "plan of $((arms * arms)) arms x $seeds seeds" "$(ms 3 $dgnet --runs "$work/none" plan "$work/grid.yaml")" ms
        note plan "its memory" "$(memory $dgnet --runs "$work/none" plan "$work/grid.yaml")" MB
    done
}
# one point of a curve: chart,series,x,y
point() {
    local curves=benches/results/scaling.csv
    [ -f "$curves" ] || echo "date,commit,processor,cores,chart,series,x,y" >"$curves"
    echo "$1" && echo "$today,$commit,${processor:-unknown},$(nproc),$1" >>"$curves"
}
scaling_runs() {
    local runs threads k side sum
    local set=("${quick[@]}" --set train.steps=30 --set loss.ramp_start=10 --set loss.ramp_steps=4 --set loss.ramp_steps_code=4
        --set train.decay_at=[])
    for threads in 1 2; do
        for runs in 1 2 3 4; do
            for ((k = 1; k <= runs; k++)); do
                $dgnet --runs "$work/side-$threads-$runs-$k" run ablations.yaml --arm full --seed "$((k % 3 + 1))" "${set[@]}" \
                    --set "train.threads=$threads" >/dev/null 2>&1 &
            done
            wait
            sum=0
            for side in "$work/side-$threads-$runs"-*; do sum=$(awk "BEGIN {print $sum + 1 / $(step_seconds "$side" 16)}"); done
            point "runs,$threads thread$([ "$threads" = 1 ] || echo s) each,$runs,$sum"
        done
    done
}
scaling_rank() {
    local k
    while read -r k; do point "$k"; done \
        < <(cargo test --quiet --locked --workspace --bench speed -- rank-scaling 2>"$work/measured.log" || cat "$work/measured.log" >&2)
}
scaling_plan() {
    local side
    for side in 10 32 100 316; do
        grid "$side" 1
        point "plan,one seed,$((side * side)),$(seconds 3 $dgnet --runs "$work/none" plan "$work/grid.yaml")"
        [ "$side" = 316 ] && continue
        grid "$side" 10
        point "plan,ten seeds,$((side * side)),$(seconds 3 $dgnet --runs "$work/none" plan "$work/grid.yaml")"
    done
}
memory() { # COMMAND: largest resident set in MB
    python3 -c 'import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)' "$@"
}
store() {
    # figures of the store, by its own test; then the program over ten thousand runs
    local tests
    tests=$(cargo test --locked --workspace --lib --no-run 2>&1 | sed -n 's/.*unittests src\/lib.rs (\(.*\)).*/\1/p')
    DGNET_BENCH="$work" "$tests" --ignored --exact store::ingest::figures::figures >/dev/null
    while IFS=, read -r what value unit; do note store "$what" "$value" "$unit"; done <"$work/figures.csv"
    note store "logging 20 values, once a step" "$(awk -F, '$6 == "values into a run folder" {print 20e6 / $8}' "$work/rows")" us
    peers store log
    note store "dgnet runs over 10000 runs" "$(ms 5 $dgnet --runs "$work/crowd" runs)" ms
    note store "dgnet runs --where over 10000 runs" "$(ms 5 $dgnet --runs "$work/crowd" runs --where 'mAP>0.4')" ms
    note store "report of a study of 10000 runs" "$(ms 1 $dgnet --runs "$work/crowd" report crowd --out "$work/report")" ms
}

engine() {
    # a thousand runs whose worker ends at once: what is left is the engine's own
    local many="$work/many" one began
    mkdir -p "$many/bin"
    cp "$dgnet" "$many/bin/dgnet"
    cat >"$many/bin/dgnet-worker" <<'SH'
#!/bin/sh
# --runs ROOT run FOLDER
[ "$3" = run ] || exit 1
printf '{"state":"done","reason":null,"attempt":1,"step":1,"ended_at":%s,"wall_s":0,"cpu_s":0,"peak_bytes":1}' \
    "$(date +%s)" >"$4/end.new" && mv "$4/end.new" "$4/end.json"
SH
    chmod +x "$many/bin/dgnet-worker"
    cat >"$many/many.yaml" <<'YAML'
study: many
seeds: 10
data: { drawn: { ids: 12, cameras: 2, photos_min: 2, photos_max: 2, height: 48, width: 24 } }
loss: { lambda_prim: 0 }
teacher: { source: none }
arms: { b: {} }
vary:
  - grid:
      loss.lambda_img: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
      loss.lambda_adv: [1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9]
YAML
    one="$many/bin/dgnet --runs $many/runs sweep $many/many.yaml --no-report"
    began=$(date +%s%N)
    $one >/dev/null 2>&1
    note engine "sweep of 1000 runs that do nothing: each" "$(awk "BEGIN {print ($(date +%s%N) - $began) / 1e9}")" ms
    note engine "the same sweep all done" "$(ms 3 $one)" ms
    # ten curves of a thousand points in each of them
    for folder in "$many"/runs/many/*/seed-*; do
        awk -v seed="${#folder}$RANDOM" 'BEGIN {
            srand(seed)
            print "{\"attempt\":1,\"from_step\":0}"
            for (step = 10; step <= 10000; step += 10) {
                line = "{\"step\":" step ",\"values\":{\"loss_adv\":" 4 * rand()
                n = split("loss_code_1 loss_cycle loss_dis loss_fine loss_id_c loss_id_s loss_img_1 loss_img_2 loss_prim", names, " ")
                for (k = 1; k <= n; k++) line = line ",\"" names[k] "\":" 10 * rand()
                print line "}}"
            }
        }' >"$folder/metrics-1.jsonl"
    done
    note engine "reindex of 1000 runs with 10000 values each" "$(ms 1 $dgnet --runs "$many/runs" reindex)" ms
}

scaling() { scaling_runs; scaling_rank; scaling_plan; }
plots() { cargo bench --quiet --locked --profile dev --bench plots; }

parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(start plan draw check step load rank)
for part in "${parts[@]}"; do
    case $part in
    start | plan | draw | check | step | paper | peak | load | rank | rerank | rerun | report | large | store | engine | scaling | scaling_runs | scaling_rank | scaling_plan | plots) "$part" ;;
    *) echo "error: no benchmark is called \`$part\`" >&2 && exit 2 ;;
    esac
done
ratios
