# A person makes an adapter, drops rows, sees those that are wrong, trains, compares and rolls back,
# clones, renames, removes and takes that back, all by clicking.
. "$TEST_LIB/page.sh"
serve
rows 16 red >"$WORK/red.jsonl"
rows 16 blue >"$WORK/blue.jsonl"
{ rows 3 red; rows 1 blue; } >"$WORK/eval.jsonl"
{
    rows 2 red
    echo '{"prompt": "<img src=x onerror=alert(1)>", "completion": " <b>bold</b>"}'
    echo '{"prompt": "no completion"}'
    echo 'no JSON'
} >"$WORK/wrong.jsonl"
browse adapter.py
grep -q '"what":"POST /v1/adapters/red-2/rename"' "$DATA/audit.jsonl"
answers_with 200 GET /v1/adapters/red
answers_with 200 GET /v1/adapters/renamed
