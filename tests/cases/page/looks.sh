# Every view, light, dark and at a phone's width: all text has AA's contrast, every control a name
# and a height that a finger finds, ids are there once, headings in order, and nothing is wider than
# the window. Tab goes through what is in sight in its order, and shows where it is.
. "$TEST_LIB/page.sh"
serve
{ rows 3 red; rows 2 blue; } >"$WORK/eval"
for name in red blue small.one.r4 small.one.r8; do
    new_adapter "$name" 12 '"metric": "accuracy", "gate": "off"'
    put "$name" eval.jsonl "$WORK/eval" >/dev/null
    rows 16 "${name%%.*}" >"$WORK/rows"
    put "$name" dataset.jsonl "$WORK/rows" '?train=1' >/dev/null
done
for name in red blue small.one.r4 small.one.r8; do await "$name" '^ready v1'; done
call POST /v1/adapters/red/ctl -d train >/dev/null
await red '^ready v2'
train running green 5000
new_adapter removed
call DELETE /v1/adapters/removed >/dev/null
{ rows 2 red; echo '{"prompt": "x"}'; } >"$WORK/wrong"
browse looks.py red "$WORK/wrong"
