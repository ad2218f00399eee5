# A version is scored on its eval rows, also when the daemon ended before it came to it, and again
# when other rows take their place; the same rows are not scored twice.
. "$TEST_LIB/http.sh"
serve
scored() { curl -sS "$URL/v1/adapters/task/files/log" | grep -c '"event":"scored"'; }
is_scored() { [ "$(scored)" = "$1" ]; }
report() { call GET /v1/adapters/task/files/metrics.json; }
digest() { sha256sum "$1" | cut -d ' ' -f 1; }

call POST /v1/adapters -d '{"name": "task", "config": {"rank": 4, "steps": 4, "batch_size": 2,
    "max_length": 64, "max_tokens": 4, "metric": "exact_match"}}' >/dev/null
rows 4 red >"$WORK/eval.jsonl"
rows 8 red >"$WORK/train.jsonl"
put task eval.jsonl "$WORK/eval.jsonl" >/dev/null
put task dataset.jsonl "$WORK/train.jsonl" '?train=1' >/dev/null
wait_until 60 is_scored 1 || fail "the version is not scored"
report | grep -q "\"sha256\": \"$(digest "$WORK/eval.jsonl")\""

# As if it had been killed between the version and its score.
stop_daemon
forget_score
serve
wait_until 60 is_scored 2 || fail "the version stays without a score"

# A metric is no part of what a training is made from: it scores, and trains nothing.
echo '{"rank": 4, "steps": 4, "batch_size": 2, "max_length": 64, "max_tokens": 4,
    "metric": "accuracy", "stop": ["."]}' >"$WORK/config.json"
put task config.json "$WORK/config.json" >/dev/null
wait_until 60 is_scored 3 || fail "another metric scores nothing"
put task dataset.jsonl "$WORK/train.jsonl" '?train=1' | grep -c '"queued":false'

put task eval.jsonl "$WORK/eval.jsonl" >/dev/null
rows 5 blue >"$WORK/other.jsonl"
put task eval.jsonl "$WORK/other.jsonl" >/dev/null
wait_until 60 is_scored 4 || fail "other rows are not scored"
report | grep -q "\"rows\": 5"
report | grep -q "\"sha256\": \"$(digest "$WORK/other.jsonl")\""
call POST /v1/completions -d '{"model": "task", "prompt": "Item 1 is", "max_tokens": 2}' >/dev/null
of_report() { report | "${PYTHON:-python3}" -c 'import json, sys
print("%.6g" % json.load(sys.stdin)[sys.argv[1]]["score"])' "$1"; }
[ "$(metric 'adapter_score{adapter="task",metric="accuracy"}')" = "$(of_report eval)" ]
[ "$(metric 'adapter_base_score{adapter="task",metric="accuracy"}')" = "$(of_report base)" ]
sleep 0.5
is_scored 4 || fail "the same rows were scored twice"
