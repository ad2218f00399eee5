# A training that learns nothing is called so while it runs: in the log with its step, below
# the line of `status`, afterwards in the version's report, and by `lorafs train` itself. So are
# settings that do nothing, and labels that say nothing.
. "$TEST_LIB/http.sh"
serve
lorafs() { "$BIN/lorafs" "$@"; }
export LORAFS_URL=$URL
rows 16 red >"$WORK/rows.jsonl"
echo '{"rank": 4, "steps": 12, "batch_size": 2, "max_length": 32, "learning_rate": 1e-8,
    "alpha": 32, "seed": 3, "gate": "off"}' >"$WORK/config.json"
lorafs train task "$WORK/rows.jsonl" -c "$WORK/config.json" >/dev/null
lorafs wait task >/dev/null 2>&1
guess='the loss, [0-9.]*, is that of guessing among [0-9]* ids (step [0-9]*)'
lorafs log task | grep -c "\"event\":\"warning\",\"step\":[0-9]*,\"reason\":\"$guess"
call GET /v1/adapters/task/files/status | grep -c "^warning: .*$guess"
call GET /v1/adapters/task/files/metrics.json | grep -c "\"$guess"
grep -c " warn jobs: task: warning adapter=task .*$guess" "$WORK/daemon.log"
"$BIN/lorafs" train --base "$BASE" --out "$WORK/out" --config "$WORK/config.json" --quiet \
    --dataset "$WORK/rows.jsonl" 2>&1 | grep -c "^warning: $guess"

# It is still known after a restart.
stop_daemon
serve
call GET /v1/adapters/task/files/status | grep -c "^warning: .*$guess"

# What asks for rows to evaluate on, and kto's labels where all are the same.
new_adapter blind 1 '"metric": "accuracy", "patience": 2'
put blind dataset.jsonl "$WORK/rows.jsonl" '?train=1' >/dev/null
await blind '^ready v1'
line_is blind '^warning: .*"patience" does nothing: there is no eval.jsonl.*; "metric" does nothing'
put blind eval.jsonl "$WORK/rows.jsonl" >/dev/null
call POST /v1/adapters/blind/ctl -d train >/dev/null
await blind '^ready v2'
line_is blind 'does nothing' && fail "$(status_line blind)"
new_adapter sided 1 '"loss": "kto"'
for i in 1 2 3 4; do
    echo "{\"prompt\": \"Item $i is\", \"completion\": \" red\", \"label\": false}"
done >"$WORK/rows.jsonl"
put sided dataset.jsonl "$WORK/rows.jsonl" '?train=1' >/dev/null
await sided '^ready v1'
line_is sided '^warning: .*no completion is wanted'
