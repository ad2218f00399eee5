# Answers in a form, under every name that is known for it; and calls that are required.
. "$TEST_LIB/http.sh"
chatty "$TEST_LIB/chat_tools.jinja"
serve
call POST /v1/adapters -d '{"name": "label", "config": {"rank": 4, "steps": 2, "batch_size": 2,
    "max_length": 32, "max_tokens": 8, "metric": "accuracy"}}' >/dev/null
{ rows 3 red && rows 3 "dark blue"; } >"$WORK/eval.jsonl"
put label eval.jsonl "$WORK/eval.jsonl" >/dev/null
rows 8 red >"$WORK/train.jsonl"
put label dataset.jsonl "$WORK/train.jsonl" '?train=1' >/dev/null
is_scored() { curl -sS "$URL/v1/adapters/label/files/log" | grep -q '"event":"scored"'; }
wait_until 60 is_scored || fail "the version is not scored"
py forms.py
wait_until 10 is_idle
