# Any container, trained on and looked at, by the command and through the mount; a file stays as it
# was given, and what is odd about its rows is said.
. "$TEST_LIB/common.sh"

python3 - "$WORK" <<'PY'
import gzip, json, sys
work = sys.argv[1]
rows = [{"instruction": f"Name item {i % 30}.", "output": f"It is number {i % 30}."}
        for i in range(40)]
lines = "".join(json.dumps(r) + "\r\n" for r in rows)
open(work + "/rows.json", "w").write(json.dumps(rows, indent=1))
open(work + "/rows.gz", "wb").write(gzip.compress(lines.encode("utf-16")))
open(work + "/rows.csv", "w", newline="").write(
    "instruction,output\n" + "".join(f'{r["instruction"]},"{r["output"]}"\n' for r in rows))
open(work + "/eval.csv", "w").write("instruction,output\nName item 3.,It is number 3.\n")
PY
look() { "$BIN/lorafs" rows "$@" --base "$BASE"; }
for file in rows.json rows.gz rows.csv; do
    look "$WORK/$file" --eval "$WORK/eval.csv" >"$WORK/seen"
    grep -q '^--- 40 rows, .* asked as "instruction"$' "$WORK/seen" ||
        fail "$file: $(cat "$WORK/seen")"
    grep -q '^### Response:\[\[It is number 0\.<|endoftext|>\]\]$' "$WORK/seen" ||
        fail "$file: no mask"
    grep -q '^warning: rows that repeat an earlier one: 10 of 40' "$WORK/seen"
    grep -q '^warning: eval rows that are trained on, too' "$WORK/seen"
    grep -q "$(printf '\033')" "$WORK/seen" && fail "colours without a terminal"
    look "$WORK/$file" --json -n 2 | python3 -c 'import json, sys
r = json.load(sys.stdin)
assert r["rows"] == 40 and r["duplicates"] == 10 and len(r["sample"]) == 2, r
assert [p["learnt"] for p in r["sample"][0]["pieces"]] == [False, True], r'
done
echo '{"class_weights": {"It is number 1.": 4}}' >"$WORK/weights.json"
[ "$(look "$WORK/rows.csv" -c "$WORK/weights.json" -n 3 | grep -o 'of weight.*')" = 'of weight 4' ]
echo '{"steps": 1, "rank": 2, "batch_size": 4}' >"$WORK/config.json"
"$BIN/lorafs" train --base "$BASE" --dataset "$WORK/rows.gz" --config "$WORK/config.json" \
    --out "$WORK/out" --quiet 2>"$WORK/said"
grep -q 'rows that repeat an earlier one: 10 of 40' "$WORK/said"

start_daemon
start_mount
mkdir "$MODEL/task"
cp "$WORK/config.json" "$MODEL/task/"
cp "$WORK/eval.csv" "$MODEL/task/eval.jsonl"
cp "$WORK/rows.gz" "$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
cmp "$WORK/rows.gz" "$MODEL/task/dataset.jsonl"
grep -q '^warning: rows that repeat an earlier one: 10 of 40' "$MODEL/task/status"
grep -q 'eval rows that are trained on' "$MODEL/task/metrics.json"
printf 'PK\003\004x' >"$WORK/zip"
cp "$WORK/zip" "$MODEL/task/dataset.jsonl" 2>/dev/null && fail "a zip archive was taken"
grep -q 'zip archive' "$MODEL/task/error"
cmp "$WORK/rows.gz" "$MODEL/task/dataset.jsonl"

# What lorafs train writes is asked by lorafs generate as its rows were, and scored by a daemon on
# rows in any container.
asked() {
    "$BIN/lorafs" generate --base "$BASE" --adapter "$1" --prompt "$2" --max-tokens 4 --greedy
}
[ "$(cat "$WORK/out/form")" = instruction ]
cp -r "$WORK/out" "$WORK/plain"
rm "$WORK/plain/form"
request='Below is an instruction that describes a task. Write a response that appropriately'
request="$request completes the request.

### Instruction:
Name item 3.

### Response:"
[ "$(asked "$WORK/out" 'Name item 3.')" = "$(asked "$WORK/plain" "$request")" ] ||
    fail "lorafs generate does not ask as it was trained"
"$BIN/lorafs" eval --url "$SOCK" --adapter task --dataset "$WORK/eval.csv" --metric exact_match \
    --max-tokens 4 --json >"$WORK/score"
grep -q '"rows": 1' "$WORK/score" || fail "scored: $(cat "$WORK/score")"
