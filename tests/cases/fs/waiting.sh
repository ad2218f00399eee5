# What waits ends when an adapter is trained and scored, and fails where that failed: `result`,
# `progress`, `lorafs wait`, `lorafs status`.
. "$TEST_LIB/common.sh"
start_daemon
start_mount
lorafs() { "$BIN/lorafs" "$@" --url "$SOCK"; }

# scored NAME: a data set, rows to score it on, and a metric.
scored() {
    mkdir "$MODEL/$1"
    echo '{"rank": 4, "steps": 12, "batch_size": 2, "max_length": 32, "max_tokens": 4,
        "learning_rate": 0.003, "metric": "exact_match"}' >"$MODEL/$1/config.json"
    rows 300 red >"$MODEL/$1/eval.jsonl"
    rows 8 red >"$MODEL/$1/dataset.jsonl"
}

# When `result` ends, the score is there; `progress` goes on until then, in lines.
scored task
cat "$MODEL/task/progress" >"$WORK/progress" &
cat "$MODEL/task/result" >"$WORK/result"
grep -q '"event":"scored"' "$MODEL/task/log"
check json_lines "$WORK/result" 1
grep -q '"adapter":"task","state":"ready","version":1,.*"metric":"exact_match","score":' \
    "$WORK/result"
wait %%
refuses grep -q $'\r\|\033' "$WORK/progress"
grep -q '^task v1 .* scoring' "$WORK/progress" || fail "$(cat "$WORK/progress")"
[ "$(tail -n 1 "$WORK/progress")" = 'task ready v1' ]
[ "$(wc -l <"$WORK/progress")" -lt 40 ]

# At once where there is nothing to wait for.
cat "$MODEL/task/result" | cmp - "$WORK/result"
lorafs wait task >"$WORK/out" 2>"$WORK/err"
grep -q '^task ready v1 exact_match [01]\.[0-9]* (base ' "$WORK/out" || fail "$(cat "$WORK/out")"
lorafs wait -q --json task | cmp - "$WORK/result"
lorafs status task | grep -c '^ready v1$'
lorafs status -f task | grep -c 'ready v1'

lorafs log task | cmp - "$MODEL/task/log"
lorafs log -f task | grep -c '"event":"scored"'

# Nothing is to come of an adapter without rows.
make_adapter bare
refuses lorafs wait bare
refused_with 'bare has no version, and nothing makes one'
refuses lorafs wait nobody
[ "$(cat "$MODEL/bare/result")" = '{"adapter":"bare","state":"empty","version":0}' ]

# A refused file does not fail what serves; a training that failed does.
refuses cp "$MODEL/task/config.json" "$MODEL/task/dataset.jsonl"
lorafs status task | grep -c '^ready v1; refused dataset.jsonl'
lorafs wait -q task >/dev/null
make_adapter broken
refuses cp "$MODEL/task/config.json" "$MODEL/broken/dataset.jsonl"
refuses lorafs status broken
refuses lorafs status -f broken
refuses lorafs wait -q broken task
refused_with 'broken failed: dataset.jsonl: line 1'
refuses bash -c "cat '$MODEL/broken/result' >'$WORK/out'"
refused_with 'Remote I/O error'
grep -q '^broken failed: dataset.jsonl: line 1' "$WORK/out"
refuses bash -c "cat '$MODEL/broken/progress' >'$WORK/out'"
grep -q '^broken failed: dataset.jsonl: line 1' "$WORK/out"

# One that is cancelled: whoever waits is told.
make_adapter long 100000
rows 4 red >"$MODEL/long/dataset.jsonl"
wait_status long '^training'
(cat "$MODEL/long/result" >"$WORK/out" 2>&1 && echo no || echo failed) >"$WORK/outcome" &
echo cancel >"$MODEL/long/ctl"
wait %%
[ "$(cat "$WORK/outcome")" = failed ]
grep -q 'was cancelled' "$WORK/out"

# A daemon that ends before the training does is no success.
echo train >"$MODEL/long/ctl"
wait_status long '^training'
for name in progress result; do
    (cat "$MODEL/long/$name" >"$WORK/$name" 2>&1 && echo no || echo failed) >"$WORK/outcome.$name" &
done
wait_until 20 grep -q 'long v' "$WORK/progress"
stop_daemon
wait_until 20 test -s "$WORK/outcome.progress"
wait_until 20 test -s "$WORK/outcome.result"
[ "$(cat "$WORK/outcome.progress" "$WORK/outcome.result")" = $'failed\nfailed' ]
start_daemon
wait_status long '^(queued|training)'
echo cancel >"$MODEL/long/ctl"

# A version that is imported is scored on the rows that are there, as one that is trained.
cp "$MODEL/task/versions/1/adapter_config.json" "$WORK/adapter_config.json"
cp "$MODEL/task/versions/1/adapter_model.safetensors" "$WORK/adapter_model.safetensors"
for file in adapter_config.json adapter_model.safetensors; do
    cat "$WORK/$file" >"$MODEL/task/adapter/$file"
done
wait_status task '^ready v2'
lorafs wait -q --json task >"$WORK/imported"
grep -q '"version":2,.*"score":' "$WORK/imported" || fail "$(cat "$WORK/imported")"
grep -q '"event":"scored","version":2' "$MODEL/task/log"

# Patience has an end.
make_adapter slow 100000
rows 8 red >"$MODEL/slow/dataset.jsonl"
wait_status slow '^training'
status=0
lorafs wait -q --timeout 0.3 slow 2>"$WORK/err" || status=$?
[ $status = 124 ] || fail "wait --timeout: exit status $status"
grep -q 'after 0.3 s: slow' "$WORK/err" || fail "$(cat "$WORK/err")"
lorafs wait -q --timeout 0 task >/dev/null
lorafs wait -q --timeout 60 task >/dev/null
echo cancel >"$MODEL/slow/ctl"
