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

# A draft base's proposals follow the form as well: the base itself says what comes, and answers are
# those without it.
formed() {
    call POST /v1/completions -d '{"model": "", "prompt": "The answer is", "max_tokens": 120,
        "temperature": '"$1"', "seed": 5, "guided_json": {"type": "object", "properties": {
        "name": {"type": "string", "minLength": 30, "maxLength": 60},
        "size": {"type": "integer", "minimum": 1000000}, "colour": {"enum": ["red", "green"]}},
        "required": ["name", "size", "colour"]}}' | sed 's/.*"text": *\("\([^"\\]\|\\.\)*"\).*/\1/'
}
greedy=$(formed 0) seeded=$(formed 0.8)
stop_daemon
serve --draft "$BASE" --speculate 3
[ "$(formed 0)" = "$greedy" ] || fail "with drafts: $(formed 0), without: $greedy"
[ "$(formed 0.8)" = "$seeded" ] || fail "with drafts: $(formed 0.8), without: $seeded"
drafted=$(metric drafted_tokens_total) accepted=$(metric accepted_tokens_total)
made=$(metric completion_tokens_total)
[ $((10 * accepted)) -ge $((9 * drafted)) ] && [ $((2 * accepted)) -ge "$made" ] ||
    fail "$accepted of $drafted drafts came in $made tokens"
