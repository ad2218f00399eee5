# `lorafs land`: two tasks on the embedded base and one whose data is missing; killed while it
# trains, gone on with, its daemon killed too, reported. The same command again finds all done.
. "$TEST_LIB/common.sh"
lorafs=$BIN/lorafs
OUT=$WORK/out

# A task of one's own is one file, and its rows.
weather() {
    local i=$1 word
    for word in "It rains: umbrella" "It snows: gloves" "The sun shines: hat"; do
        printf '{"prompt": "%s in town %d. Take", "completion": " %s"}\n' \
            "${word%:*}" "$i" "${word#*: }"
    done
}
mkdir -p "$WORK/data/weather"
for i in $(seq 1 40); do weather "$i"; done >"$WORK/data/weather/train.jsonl"
for i in $(seq 51 56); do weather "$i"; done >"$WORK/data/weather/test.jsonl"
cat >"$WORK/weather.json" <<'EOF'
{"title": "What to take", "category": "Knowledge", "metric": "exact_match", "max_tokens": 4,
 "stop": ["\n"], "shots": 0, "prompt": "{prompt}", "completion": "{completion}",
 "data": [{"source": "made here", "get": "made here", "licence": "CC0", "fidelity": "exact",
           "format": "jsonl", "train": ["train.jsonl"], "test": ["test.jsonl"]}]}
EOF
cat >"$WORK/study.json" <<EOF
{"title": "A slice", "bases": ["$BASE"], "data": "data",
 "tasks": [{"task": "viggo", "data": "$LF_SOURCE/share/tasks/viggo-excerpt", "rows": 200,
            "settings": {"max_tokens": 16}},
           {"task": "./weather.json", "settings": {"steps": 40}},
           {"task": "boolq", "data": "$WORK/nothing"}],
 "eval_rows": 12,
 "settings": {"steps": 24, "batch_size": 4, "learning_rate": 0.003, "rank": 8, "max_length": 72},
 "daemon": {"device": "$DEVICE"}}
EOF
run() { "$lorafs" land run "$WORK/study.json" --out "$OUT" "$@" 2>>"$WORK/run.log"; }
status() { "$lorafs" land status "$OUT" --json; }
logs() { cat "$OUT"/daemons/base/adapters/*/log.jsonl; }
last_step() { logs | sed -n 's/.*"event":"step","step":\([0-9]*\).*/\1/p' | sort -n | tail -n 1; }
logged() { logs | grep -c "$1" || true; }
step_reached() { [ "$(last_step)" -ge "$1" ]; }

# Killed in the middle: its daemon writes checkpoints and ends too.
"$lorafs" land run "$WORK/study.json" --out "$OUT" >/dev/null 2>>"$WORK/run.log" &
RUN=$!
wait_until 90 step_reached 6 || fail "it does not train"
status | check land_state running 0
kill -KILL $RUN
wait $RUN 2>/dev/null || true
wait_until 60 flock -n "$OUT/lock" true || fail "its daemon did not end"
status | check land_state stopped 0

# The same command goes on, from the checkpoints; a daemon that dies under it is started again.
before=$(last_step)
"$lorafs" land run "$WORK/study.json" --out "$OUT" >"$WORK/matrix" 2>>"$WORK/run.log" &
RUN=$!
wait_until 90 step_reached $((before + 1)) || fail "it does not go on"
kill -KILL "$(pgrep -P $RUN)"
exit_status=0
wait $RUN || exit_status=$?
[ $exit_status = 1 ] || fail "a failed cell must show in the exit status"
cat "$WORK/matrix" >&2
grep -q 'its daemon is started again' "$WORK/run.log" || fail "nobody saw the daemon's death"
[ "$(logged '"event":"started".*"step":[1-9]')" -gt 0 ] || fail "it trained from the start again"
status | check land_state finished 2
grep -q '^base,viggo,rouge_l,0' "$OUT/results.csv"
check land_lift "$OUT/results.csv" viggo 0.03
check land_lift "$OUT/results.csv" weather 0.6
grep -q 'boolq: .*nothing' "$WORK/matrix" || fail "why boolq failed is not said"

# Everything is there: nothing is trained again.
cp "$OUT/results.csv" "$WORK/before"
refuses run >/dev/null
cmp "$OUT/results.csv" "$WORK/before"
[ "$(logged '"event":"queued"')" = 2 ]

"$lorafs" land report "$OUT" >"$WORK/report"
grep -q '^Knowledge' "$WORK/report"
grep -q 'cells above their base' "$OUT/report.html"
grep -q 'boolq, base: failed: .*nothing' "$WORK/report" || fail "what failed is not named"
grep -q 'boolq, base: failed: ' "$OUT/report.html"
grep -q '^base,weather,exact_match,.*,0\.[0-9]*,0\.[0-9]*,' "$OUT/results.csv" ||
    fail "no intervals"
grep -q '<svg' "$OUT/matrix.svg"
grep -q '^feature,weather,training examples,120' "$OUT/analysis.csv"

# What cannot be is refused before anything starts.
refuses "$lorafs" land status "$WORK/data"
refused_with 'no study was run there'
sed 's/"rank"/"rang"/' "$WORK/study.json" >"$WORK/wrong.json"
refuses "$lorafs" land run "$WORK/wrong.json" --out "$WORK/none"
refused_with 'unknown key "rang"'
[ ! -e "$WORK/none" ]
