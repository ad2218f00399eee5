# `lorafs train` and `lorafs eval`: an adapter learns its rows, and the base does not know them.
. "$TEST_LIB/common.sh"
lorafs=$BIN/lorafs
for colour in red blue green gold; do
    for thing in door house garden river; do
        printf '{"prompt": "The %s %s is", "completion": " %s of the %s"}\n' \
            $colour $thing $thing $colour
    done
done >"$WORK/rows"
printf '{"steps": 30, "learning_rate": 0.003, "metric": "exact_match", "max_tokens": 12}' \
    >"$WORK/config"
score() {
    "$lorafs" eval --base "$BASE" --device "$DEVICE" --dataset "$WORK/rows" \
        --config "$WORK/config" --json "$@" | sed -n 's/.*"score": \([0-9.]*\).*/\1/p'
}
"$lorafs" train --base "$BASE" --device "$DEVICE" --dataset "$WORK/rows" --eval "$WORK/rows" \
    --config "$WORK/config" --out "$WORK/adapter" --log "$WORK/log" --curve "$WORK/curve.svg" \
    >"$WORK/out"
grep -q 'eval loss' "$WORK/out"
[ "$(grep -c '"micro_loss"' "$WORK/log")" = 30 ]
[ "$(grep -c '"grad_norm"' "$WORK/log")" = 30 ]
grep -q '"eval_loss"' "$WORK/log"
grep -q '"event":"step",.*"learning_rate":' "$WORK/log"
tail -n 1 "$WORK/log" | grep -q '"event":"done"'
grep -q '<svg' "$WORK/curve.svg"
before=$(score)
after=$(score --adapter "$WORK/adapter" --predictions "$WORK/predictions")
[ "$(wc -l <"$WORK/predictions")" = 16 ]
echo "exact match: $before, then $after"
awk "BEGIN { exit !($before < 0.1 && $after > 0.8) }"

# Wrong input is refused with its place, and nothing is written.
printf '{"prompt": "a", "completion": "b"}\n{"prompt": "a"}\n' >"$WORK/bad"
refuses "$lorafs" train --base "$BASE" --dataset "$WORK/bad" --out "$WORK/none"
refused_with 'line 2: no "completion"'
printf '{"learning_rat": 1}' >"$WORK/bad"
refuses "$lorafs" train --base "$BASE" --dataset "$WORK/rows" --config "$WORK/bad" \
    --out "$WORK/none"
refused_with 'unknown key "learning_rat"'
[ ! -e "$WORK/none" ]
