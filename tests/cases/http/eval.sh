# The base is scored when a training is queued, before any version is there; labels make a matrix;
# `lorafs eval` gives the same scores by the daemon and without one.
. "$TEST_LIB/http.sh"
serve
python=${PYTHON:-python3}
member() { "$python" -c 'import json, sys
x = json.load(sys.stdin)
for key in sys.argv[1:]:
    x = x[key] if isinstance(x, dict) else x[int(key)]
print(json.dumps(x))' "$@"; }
report() { call GET /v1/adapters/task/files/metrics.json; }
has_base() { report 2>/dev/null | member base score >/dev/null 2>&1; }
has_eval() { report | member eval score >/dev/null 2>&1; }

call POST /v1/adapters -d '{"name": "task", "config": {"rank": 4, "steps": 100000, "batch_size": 2,
    "max_length": 64, "max_tokens": 4, "stop": [".", "\n"], "metric": "accuracy"}}' >/dev/null
{ rows 3 red; rows 2 blue; } >"$WORK/eval.jsonl"
rows 8 red >"$WORK/train.jsonl"
put task eval.jsonl "$WORK/eval.jsonl" >/dev/null
put task dataset.jsonl "$WORK/train.jsonl" '?train=1' >/dev/null
wait_until 60 has_base || fail "the base is not scored while the training runs"
[ "$(report | member base rows)" = 5 ]
[ "$(report | member base confusion labels)" = '["blue", "red"]' ] || fail "$(report)"
[ "$(report | member base stop)" = '[".", "\n"]' ]
report | member version 2>/dev/null && fail "there is a version already"

# A version: shorter, and the base's score stays.
base=$(report | member base)
call POST /v1/adapters/task/ctl -d cancel >/dev/null
await task 'cancelled|failed|empty'
printf '{"rank": 4, "steps": 4, "batch_size": 2, "max_length": 64, "max_tokens": 4,
    "stop": [".", "\\n"], "metric": "accuracy"}' >"$WORK/config.json"
put task config.json "$WORK/config.json" >/dev/null
call POST /v1/adapters/task/ctl -d train >/dev/null
wait_until 60 has_eval || fail "the version is not scored"
[ "$(report | member base)" = "$base" ] || fail "the base was scored twice"
[ "$(report | member eval confusion classes 1 support)" = 3 ]

# The same by the daemon and here.
mkdir "$WORK/peft"
for file in adapter_config.json adapter_model.safetensors; do
    call GET "/v1/adapters/task/files/adapter/$file" >"$WORK/peft/$file"
done
"$BIN/lorafs" eval --url "$URL" -a task -i "$WORK/eval.jsonl" --json >"$WORK/there"
"$BIN/lorafs" eval --base "$BASE" -a "$WORK/peft" -i "$WORK/eval.jsonl" -c "$WORK/config.json" \
    --device "$DEVICE" --json --predictions "$WORK/said" >"$WORK/here"
for key in score rows confusion; do
    [ "$(member "$key" <"$WORK/there")" = "$(member "$key" <"$WORK/here")" ] ||
        fail "$key: $(cat "$WORK/there" "$WORK/here")"
done
[ "$(report | member eval score)" = "$(member score <"$WORK/here")" ]
[ "$(wc -l <"$WORK/said")" = 5 ]
"$BIN/lorafs" eval --url "$URL" -i "$WORK/eval.jsonl" -m rouge_l --rows 2 | grep -q 'over 2 rows'

# What cannot be scored is said.
"$BIN/lorafs" eval --url "$URL" -a nobody -i "$WORK/eval.jsonl" -m rouge_l 2>"$WORK/why" &&
    fail "an adapter that is not there was scored"
grep -q nobody "$WORK/why" || fail "$(cat "$WORK/why")"
"$BIN/lorafs" eval --url "$URL" -a task -i "$WORK/eval.jsonl" -m bleu 2>"$WORK/why" && fail "bleu"
grep -q rouge_l "$WORK/why"

# Completions that are programs are run, or it is said why they are not.
has_score_or_reason() {
    curl -sS "$URL/v1/adapters/code/files/metrics.json" >"$WORK/code"
    { member eval score <"$WORK/code" || member eval reason <"$WORK/code"; } >/dev/null 2>&1
}
call POST /v1/adapters -d '{"name": "code", "config": {"rank": 4, "steps": 2, "batch_size": 2,
    "max_length": 64, "max_tokens": 8, "metric": "humaneval"}}' >/dev/null
printf '%s\n' '{"prompt": "Double x.", "completion": " return 2 * x", "entry_point": "double",
    "raw_prompt": "def double(x):\n", "test": "def check(f):\n    assert f(2) == 4\n"}' |
    tr -d '\n' >"$WORK/code.jsonl"
echo >>"$WORK/code.jsonl"
put code eval.jsonl "$WORK/code.jsonl" >/dev/null
put code dataset.jsonl "$WORK/train.jsonl" '?train=1' >/dev/null
wait_until 60 has_score_or_reason || fail "no score and no reason: $(cat "$WORK/code")"
if [ -x /usr/bin/bwrap ] && bwrap --unshare-user --ro-bind / / true 2>/dev/null; then
    [ "$(member eval score <"$WORK/code")" = 0.0 ] || fail "$(cat "$WORK/code")"
fi
