# What backward keeps, makes again or finds in host memory: the adapter is the same to the byte,
# here and at a daemon, which says at its start what was chosen and gives the memory back.
. "$TEST_LIB/http.sh"
rows 6 blue >"$WORK/rows.jsonl"
printf '{"steps": 3, "batch_size": 2, "rank": 4, "max_length": 32}' >"$WORK/config"
for how in none auto block offload; do
    "$BIN/lorafs" train --base "$BASE" --device "$DEVICE" --threads 1 --dataset "$WORK/rows.jsonl" \
        --config "$WORK/config" --recompute $how --out "$WORK/$how" 2>"$WORK/$how.err"
    cmp "$WORK/none/adapter_model.safetensors" "$WORK/$how/adapter_model.safetensors"
done
grep -cx 'recompute block, 0 MiB of host memory' "$WORK/block.err"
grep -cE '^recompute offload, [1-9][0-9]* MiB of host memory$' "$WORK/offload.err"
grep -c '^recompute ' "$WORK/none.err" && fail "none says that it does"

trains() { # HOW: trains at a daemon that was started so, into $WORK/HOW.there
    serve --recompute "$1" --train-tokens 128 --kv-tokens 4096
    new_adapter "$1" 3
    put "$1" dataset.jsonl "$WORK/rows.jsonl" '?train=1' >/dev/null
    await "$1" 'ready v1' 20
    wait_until 10 metric_is row_memory_bytes 0 || fail "host memory is not given back"
    "$BIN/lorafs" export --url "$URL" "$1" "$WORK/$1.there"
}
trains none
grep -c 'recompute none, 0 of the host' "$WORK/daemon.log"
stop_daemon
trains offload
grep -cE 'recompute offload, [1-9][0-9]* of the host' "$WORK/daemon.log"
metric_is memory_host_bytes 0 && fail "no host memory is planned"
cmp "$WORK"/{none,offload}.there/adapter_model.safetensors
