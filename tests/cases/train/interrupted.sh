# `lorafs train`, killed and stopped in turns and started again, ends with the bytes of one run. (Of
# an adapter that starts from the base's weights, which are decomposed once.)
. "$TEST_LIB/common.sh"
head -n 12 "$LF_SOURCE/share/tasks/viggo-excerpt/train.jsonl" >"$WORK/rows"
printf '{"steps": 10, "batch_size": 2, "rank": 4, "init": "pissa_niter_1",
    "target_modules": ["q_proj", "down_proj"]}' >"$WORK/config"
train=("$BIN/lorafs" train --base "$BASE" --device "$DEVICE" --threads 1 --dataset "$WORK/rows"
    --config "$WORK/config")
"${train[@]}" --out "$WORK/whole"

steps() { grep -c '"grad_norm"' "$WORK/log" || true; }
stops=0
: >"$WORK/log"
until [ -e "$WORK/parts/adapter_model.safetensors" ]; do
    before=$(steps)
    "${train[@]}" --out "$WORK/parts" --checkpoint "$WORK/checkpoint" --checkpoint-seconds 0 \
        --log "$WORK/log" 2>"$WORK/err" &
    child=$!
    while kill -0 $child 2>/dev/null && [ "$(steps)" -le "$before" ]; do
        sleep 0.05
    done
    signal=KILL
    [ $((stops % 2)) = 0 ] || signal=TERM # which gets on by a step, wherever the other strikes
    kill -$signal $child 2>/dev/null || true
    if ! wait $child 2>/dev/null; then
        [ $signal = KILL ] || grep -q 'interrupted; the same command goes on' "$WORK/err" ||
            fail "$(cat "$WORK/err")"
        stops=$((stops + 1))
    fi
    [ $stops -lt 30 ] || fail "it does not get on"
done
say "stopped $stops times"
[ $stops -gt 1 ] || fail "it was never killed and stopped"
cmp "$WORK/whole/adapter_model.safetensors" "$WORK/parts/adapter_model.safetensors"
[ ! -e "$WORK/checkpoint" ] || fail "the checkpoint of a finished run is left"

# Several at once: a folder with settings of its own, and a file of rows. What was killed goes on,
# what is done is not trained again, and what is wrong with one is that one's.
mkdir "$WORK/folder" "$WORK/many"
cp "$WORK/rows" "$WORK/folder/dataset.jsonl"
printf '{"rank": 2, "steps": 3}' >"$WORK/folder/config.json"
cp "$WORK/rows" "$WORK/plain.jsonl"
cp "$WORK/rows" "$WORK/folder/eval.jsonl"
many=("$BIN/lorafs" train --base "$BASE" --device "$DEVICE" --threads 1 --set batch_size=2
    --set max_length=64 --out "$WORK/many" --checkpoint-seconds 0 "$WORK/folder/"
    "$WORK/plain.jsonl")
"${many[@]}" --set steps=4 2>"$WORK/err" &
child=$! # itself: of a function it would be the shell that waits for it
checkpointed() { [ -e "$WORK/many/plain/checkpoint/checkpoint.safetensors" ]; }
while kill -0 $child 2>/dev/null && ! checkpointed; do
    sleep 0.05
done
kill -KILL $child 2>/dev/null || true
wait $child 2>/dev/null || true
"${many[@]}" --set steps=4 >"$WORK/said" 2>"$WORK/err"
[ "$(grep -c ': 4 steps over 12 rows, ' "$WORK/said")" = 2 ] || fail "$(cat "$WORK/said")"
grep -q '^plain: resumed at step [1-3]' "$WORK/err" || fail "$(cat "$WORK/err")"
grep -q '"state": "done"' "$WORK/many/plain/result.json"
grep -q '"r": 2,' "$WORK/many/folder/adapter/adapter_config.json"
grep -q '"eval_loss"' "$WORK/many/folder/result.json"
[ ! -e "$WORK/many/plain/checkpoint" ] || fail "a checkpoint of a finished run is left"
cp "$WORK/many/plain/log.jsonl" "$WORK/log"
"${many[@]}" --set steps=4 >"$WORK/again" 2>"$WORK/err"
cmp <(sort "$WORK/said") <(sort "$WORK/again") || fail "the second run says something else"
cmp "$WORK/log" "$WORK/many/plain/log.jsonl" || fail "what is done was trained again"
echo '{"prompt": "no completion"}' >"$WORK/plain.jsonl"
if "${many[@]}" --set steps=2 --json >"$WORK/said" 2>"$WORK/err"; then
    fail "a bad file is no failure"
fi
grep -q '^plain: .*plain.jsonl: line 1' "$WORK/err" || fail "$(cat "$WORK/err")"
grep '"adapter": "folder"' "$WORK/said" | grep -q '"steps": 2,'
