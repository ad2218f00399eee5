# `lorafs train`, killed and stopped in turns and started again, ends with the bytes of one run.
. "$TEST_LIB/common.sh"
head -n 12 "$LF_SOURCE/share/tasks/viggo-excerpt/train.jsonl" >"$WORK/rows"
printf '{"steps": 10, "batch_size": 2, "rank": 4}' >"$WORK/config"
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
