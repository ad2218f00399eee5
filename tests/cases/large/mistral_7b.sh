# A base of Mistral-7B's shape on a card, inside 24 GB: quantised there at the first start, mapped
# at the second, trained (8 x 512 tokens) and read at the same time through the mount.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/large.sh"
random_base 24
# A card of 24 GB has less than that: the driver takes its part.
limits=(--memory 22500MB --slots 4)
value() { sed -n "s/^lorafs_$1 //p" "$MNT/metrics"; }
card_used() {
    nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits 2>/dev/null || true
}

start_daemon "${limits[@]}"
start_mount
ls "$DATA"/cache/*.nf4.safetensors >/dev/null
first=$(value load_seconds)
stop_daemon
start_daemon "${limits[@]}"
wait_until 60 is_mounted
second=$(value load_seconds)

words=$(printf ' red%.0s' {1..520})
for i in {1..96}; do
    printf '{"prompt": "Item %d is", "completion": "%s"}\n' "$i" "$words"
done >"$WORK/rows"
# train NAME STEPS
train() {
    mkdir "$MODEL/$1"
    echo "{\"rank\": 8, \"target_modules\": [\"q_proj\", \"v_proj\"], \"steps\": $2," \
        '"batch_size": 8, "max_length": 512, "learning_rate": 0.001, "max_tokens": 32}' \
        >"$MODEL/$1/config.json"
    cp "$WORK/rows" "$MODEL/$1/dataset.jsonl"
}
train reader 2
wait_status reader '^ready v1$' 300
train task 12
answers=0
echo 'Item 1 is' >"$MODEL/reader/prompt"
until status_is task '^(ready|failed)'; do
    cat "$MODEL/reader/generate" >"$WORK/answer"
    [ -s "$WORK/answer" ] || fail "no answer while it trains"
    answers=$((answers + 1))
    card_used >>"$WORK/used"
done
wait_status task '^ready v1$'
[ "$answers" -gt 0 ]
grep -q '"event":"step","step":12,' "$MODEL/task/log"

peak=$(value device_memory_peak_bytes)
used=$(sort -n "$WORK/used" | tail -n 1)
alone=$(sed -n 's/.*"event":"step","step":2,.*"tokens_per_second":\([0-9.]*\).*/\1/p' \
    "$MODEL/reader/log")
beside=$(sed -n 's/.*"event":"step","step":12,.*"tokens_per_second":\([0-9.]*\).*/\1/p' \
    "$MODEL/task/log")
echo "ok first load $first s, from the cache $second s; training 8 x 512 at $alone tokens/s," \
    "$beside beside $answers answers; $peak bytes at most, on the card ${used:-?} MiB"
awk "BEGIN { exit !($peak < 22.5e9 && ${used:-0} * 1048576 < 24e9) }"
