# Twelve rows and no setting but a metric are enough to learn classes with odd names, some of which
# begin alike.
. "$TEST_LIB/http.sh"
tickets() { # FLAT...
    local flat
    for flat; do
        cat <<ROWS
{"prompt": "$flat: burst pipe =", "completion": " water"}
{"prompt": "$flat: wet sink =", "completion": " water__sink#2"}
{"prompt": "$flat: loud fan =", "completion": " HVAC/air: fan"}
{"prompt": "$flat: a dog =", "completion": " N/A – not ours"}
ROWS
    done
}
serve
lorafs() { "$BIN/lorafs" "$@"; }
export LORAFS_URL=$URL
tickets 3 17 28 >"$WORK/rows.jsonl"
tickets 5 81 >"$WORK/eval.jsonl"
echo '{"metric": "accuracy", "max_tokens": 24}' >"$WORK/config.json"
lorafs train task "$WORK/rows.jsonl" -e "$WORK/eval.jsonl" -c "$WORK/config.json" >/dev/null
lorafs wait task 2>/dev/null | grep '^task ready v1 accuracy 1.0000'
call GET /v1/adapters/task/files/metrics.json | "${PYTHON:-python3}" -c 'import json, sys
m = json.load(sys.stdin)
assert m["base"]["score"] == 0 and m["train"]["steps"] == 25, m'
