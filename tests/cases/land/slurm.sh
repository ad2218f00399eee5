# `lorafs land run --slurm` and `lorafs train --slurm` with a Slurm of three nodes on this machine:
# what was on a node that is killed runs again, results are files, and nothing is submitted twice.
. "$TEST_LIB/common.sh"
need slurmctld slurmd sbatch squeue scontrol munged
[ "$(id -u)" = 0 ] || skip "Slurm's daemons want to be root"
[ "$DEVICE" = cpu ] || skip "three virtual nodes would share a card"
lorafs=$BIN/lorafs
OUT=$WORK/out
export SLURM_CONF=$WORK/slurm.conf
declare -A NODE

read -r controller one two three < <("${PYTHON:-python3}" -c 'import socket
held = [socket.socket() for _ in range(4)]
[s.bind(("", 0)) for s in held]
print(*[s.getsockname()[1] for s in held])')
cat >"$SLURM_CONF" <<EOF
ClusterName=lorafs
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$controller
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket=$WORK/munge.sock
StateSaveLocation=$WORK/state
SlurmdSpoolDir=$WORK/spool/%n
SlurmctldPidFile=$WORK/slurmctld.pid
SlurmdPidFile=$WORK/slurmd.%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/linear
SchedulerParameters=batch_sched_delay=0,sched_min_interval=10000
ReturnToService=1
KillWait=1
NodeName=n1 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$one CPUs=1
NodeName=n2 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$two CPUs=1
NodeName=n3 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$three CPUs=1
PartitionName=main Nodes=n1,n2,n3 Default=YES State=UP
EOF
mkdir "$WORK/state" "$WORK/spool"
head -c 1024 /dev/urandom >"$WORK/munge.key"
chmod 600 "$WORK/munge.key"
munged --foreground --force --key-file "$WORK/munge.key" --socket "$WORK/munge.sock" \
    --pid-file "$WORK/munge.pid" --log-file "$WORK/munge.out" --seed-file "$WORK/munge.seed" \
    >"$WORK/munged.out" 2>&1 &
wait_until 30 test -S "$WORK/munge.sock" || fail "munge does not start"
slurmctld -D -c >"$WORK/slurmctld.out" 2>&1 &
start_node() {
    slurmd -D -N "$1" >>"$WORK/$1.out" 2>&1 &
    NODE[$1]=$!
}
for node in n1 n2 n3; do start_node $node; done
all_idle() { [ "$(sinfo -h -t idle -o %D)" = 3 ]; }
wait_until 60 all_idle || fail "there are no nodes: $(tail -n 5 "$WORK"/*.out)"

# Two bases, one of them under another name, and two tasks in a group each: four elements.
cp -r "$BASE" "$WORK/second"
for word in umbrella gloves; do
    mkdir -p "$WORK/data/$word"
    for ((i = 1; i <= 16; i++)); do
        printf '{"prompt": "In town %d take", "completion": " %s"}\n' "$i" "$word"
    done >"$WORK/data/$word/train.jsonl"
    head -n 4 "$WORK/data/$word/train.jsonl" >"$WORK/data/$word/test.jsonl"
    cat >"$WORK/$word.json" <<EOF
{"title": "$word", "category": "Knowledge", "metric": "exact_match", "max_tokens": 4,
 "stop": ["\n"], "shots": 0, "prompt": "{prompt}", "completion": "{completion}",
 "data": [{"source": "made here", "get": "made here", "licence": "CC0", "fidelity": "exact",
           "format": "jsonl", "train": ["train.jsonl"], "test": ["test.jsonl"]}]}
EOF
done
cat >"$WORK/study.json" <<EOF
{"bases": ["$BASE", "second"], "data": "data", "tasks": ["./umbrella.json", "./gloves.json"],
 "settings": {"steps": 20, "batch_size": 4, "learning_rate": 0.003, "rank": 8, "max_length": 48},
 "daemon": {"device": "cpu", "threads": 1}}
EOF
run() {
    "$lorafs" land run "$WORK/study.json" --out "$OUT" --slurm --slurm-tasks 1 \
        --sbatch=--no-requeue "$@" >"$WORK/matrix" 2>>"$WORK/run.log" 3>&-
}
trained() { grep -qs '"event":"step"' "$OUT/slurm/$1"/out/daemons/*/adapters/*/log.jsonl; }
node_of() { squeue -h -r -o '%N %K' | sed -n "s/ $1\$//p"; }
jobs() { scontrol show job | grep -o '^JobId=[0-9]*'; }
# A node that loses its power: all that ran on it is gone at once, and Slurm is told so, as an
# administrator or a health check would.
processes_on() {
    local pid
    for pid in $(pgrep -f 'lorafs|job'); do
        if grep -qz "^SLURMD_NODENAME=$1\$" "/proc/$pid/environ" 2>/dev/null &&
            grep -qz "^SLURM_CONF=$SLURM_CONF\$" "/proc/$pid/environ"; then
            echo "$pid"
            [ "$(cat "/proc/$(ps -o ppid= -p "$pid" | tr -d ' ')/comm")" != slurmstepd ] ||
                ps -o ppid= -p "$pid"
        fi
    done
}
power_off() {
    local lost
    lost=$(processes_on "$1")
    [ -n "$lost" ] || fail "nothing runs on '$1': $(squeue -h -r)"
    # shellcheck disable=SC2086
    kill -KILL "${NODE[$1]}" $lost 2>/dev/null || true
    wait "${NODE[$1]}" 2>/dev/null || true
    scontrol update nodename="$1" state=down reason=power
}

run &
RUN=$!
wait_until 90 trained 1 || fail "it does not train: $(cat "$WORK/run.log" "$OUT"/slurm/*.log)"
power_off "$(node_of 1)"
status=0
wait $RUN || status=$?
cat "$WORK/matrix" >&2
[ $status = 0 ] || fail "status $status: $(tail -n 20 "$WORK/run.log" "$OUT"/slurm/*.log)"
for base in base second; do
    for word in umbrella gloves; do
        grep -q "^$base,$word,exact_match," "$OUT/results.csv" || fail "$base $word has no result"
        [ -s "$OUT/cells/$base/$word.json" ]
    done
done
[ "$(wc -l <"$OUT/results.csv")" = 5 ]
[ "$(grep -l '"event":"queued"' "$OUT"/slurm/*/out/daemons/*/adapters/*/log.jsonl | wc -l)" = 4 ]
"$lorafs" land status "$OUT" >/dev/null

# Nothing is left to do: nothing is submitted.
jobs >"$WORK/jobs"
run
jobs | cmp - "$WORK/jobs" || fail "the same study was submitted again"

# Adapters without a study: two elements on the two nodes that are left, one of which is killed.
mkdir "$WORK/umbrella"
cp "$WORK/data/umbrella/train.jsonl" "$WORK/umbrella/dataset.jsonl"
printf '{"rank": 4}' >"$WORK/umbrella/config.json"
cp "$WORK/data/gloves/train.jsonl" "$WORK/gloves.jsonl"
train() {
    "$lorafs" train -b "$BASE" -o "$WORK/adapters" -d cpu -t 1 --set steps=20 --set batch_size=4 \
        --set max_length=48 --checkpoint-seconds 0 --slurm --slurm-tasks 1 --sbatch=--no-requeue \
        "$WORK/umbrella/" "$WORK/gloves.jsonl" "$@" >"$WORK/said" 2>"$WORK/train.log" 3>&-
}
train &
RUN=$!
checkpointed() { [ -e "$WORK/adapters/gloves/checkpoint/checkpoint.safetensors" ]; }
wait_until 90 checkpointed || fail "$(cat "$WORK/train.log" "$WORK"/adapters/.slurm/*.log)"
power_off "$(node_of 1)"
status=0
wait $RUN || status=$?
[ $status = 0 ] || fail "status $status: $(cat "$WORK/train.log" "$WORK"/adapters/.slurm/*.log)"
[ "$(grep -c ': 20 steps over 16 rows, ' "$WORK/said")" = 2 ] || fail "$(cat "$WORK/said")"
grep -q '^gloves: resumed at step' "$WORK/adapters/.slurm/1.log" || fail "it began again"
[ -s "$WORK/adapters/umbrella/adapter/adapter_model.safetensors" ]
grep -q '"r": 4,' "$WORK/adapters/umbrella/adapter/adapter_config.json"
jobs >"$WORK/jobs"
train --json
jobs | cmp - "$WORK/jobs" || fail "the same adapters were submitted again"
[ "$(grep -c '"state": "done"' "$WORK/said")" = 2 ]

# One more, whose rows are wrong: it alone is submitted, and the others are as they were.
echo '{"prompt": "no completion"}' >"$WORK/bad.jsonl"
if train "$WORK/bad.jsonl"; then fail "wrong rows are no failure"; fi
grep -q '^bad: .*/bad.jsonl: line 1' "$WORK/train.log" || fail "$(cat "$WORK/train.log")"
[ "$(grep -c ': 20 steps over 16 rows, ' "$WORK/said")" = 2 ] || fail "$(cat "$WORK/said")"
[ "$(jobs | wc -l)" = $(($(wc -l <"$WORK/jobs") + 1)) ] || fail "$(scontrol show job)"
