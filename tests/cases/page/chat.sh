# A person chats with one model, then with four at once, stops, asks again, edits, sets how it is
# drawn; what an answer holds is shown as text, or as the few things that markdown is.
. "$TEST_LIB/page.sh"
serve
train red red
train blue blue
endless 16 >"$WORK/endless"
new_adapter endless 8
put endless dataset.jsonl "$WORK/endless" '?train=1' >/dev/null
for name in red blue endless; do await "$name" '^ready v1'; done
browse chat.py
grep -q ' POST /v1/completions .*status=499' "$WORK/daemon.log" || # a stop ends the generation
    wait_until 20 is_idle || fail "an answer that was stopped goes on"
wait_until 20 is_idle || fail "answers go on"
