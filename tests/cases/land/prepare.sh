# Tasks are listed and made from publishers' files; the example of docs/land.md is a whole task.
. "$TEST_LIB/common.sh"
python=${PYTHON:-python3}
land() { "$BIN/lorafs" land "$@"; }

[ "$(land tasks | wc -l)" = 31 ]
[ "$(land tasks --json | "$python" -c 'import json, sys; print(len(json.load(sys.stdin)))')" = 31 ]
land tasks viggo gsm8k | grep -q 'CC BY-SA 4.0'
refuses land tasks vigo
grep -q 'did you mean "viggo"' "$WORK/refused"

# One task, all of a folder, rows that were made before.
land prepare viggo --data "$LF_SOURCE/tests/data/tasks/viggo/data" --out "$WORK/rows" | grep -q near
cmp "$WORK/rows/viggo/test.jsonl" "$LF_SOURCE/tests/data/tasks/viggo/test.jsonl"
land prepare --all --data "$WORK/rows" --out "$WORK/again" --quiet --json >"$WORK/made"
"$python" - "$WORK/made" <<'END'
import json
import sys
made = json.load(open(sys.argv[1]))
assert [m["task"] for m in made] == ["viggo"] and made[0]["prepared"] is True, made
assert made[0]["fidelity"] == "near" and made[0]["train"] == 1, made
END
cmp "$WORK/rows/viggo/train.jsonl" "$WORK/again/viggo/train.jsonl"

# What is missing is said, and where one gets it; nothing is left behind.
mkdir "$WORK/empty"
refuses land prepare gsm8k --data "$WORK/empty" --out "$WORK/none"
grep -q 'no train.jsonl.*github.com/openai' "$WORK/refused"
[ ! -e "$WORK/none/gsm8k" ]
refuses land prepare --all --data "$WORK/empty" --out "$WORK/none"
refuses land prepare --data "$WORK/empty" --out "$WORK/none"
grep -q 'name the tasks' "$WORK/refused"

# A newcomer's task: the one file that the manual shows, and what it trains on.
sed -n '/^```json$/,/^```$/p' "$LF_SOURCE/docs/land.md" | sed '1d;/^```$/,$d' >"$WORK/weather.json"
mkdir "$WORK/own"
{
    echo day,wind,dry
    for day in $(seq 60); do
        echo "day $day,the north,$((day % 3 == 0 ? 0 : 1))"
    done
    echo 'day 61,"the west, mostly",unknown'
} >"$WORK/own/days.csv"
land prepare "$WORK/weather.json" --data "$WORK/own" --out "$WORK/rows"
[ "$(cat "$WORK"/rows/weather/t*.jsonl | wc -l)" = 60 ]
grep -q '"completion": " yes"' "$WORK/rows/weather/train.jsonl"
"$BIN/lorafs" eval --base "$BASE" -i "$WORK/rows/weather/test.jsonl" --device "$DEVICE" --rows 2 \
    -c "$WORK/rows/weather/config.json" --json >"$WORK/score"
grep -q '"metric": "binary_accuracy_flex"' "$WORK/score"
