# What requests and data sets need of the host's memory is bounded: over the budget 413 or 429, and
# the daemon goes on; what one request took is given back. Rows are on disk.
. "$TEST_LIB/http.sh"
[ -z "${SANITIZE:-}" ] || skip "sanitizers want more address space"
ulimit -S -v 6000000 # kB: what would run over it fails as on a small machine
serve --host-memory 128M --kv-tokens 4096
ulimit -S -v unlimited
py memory.py "$DAEMON"
await_budget() { metric_is request_memory_bytes 0 && metric_is row_memory_bytes 0; }
wait_until 30 await_budget || fail "memory is not given back"

# A data set whose tokens alone are more than the budget is trained.
new_adapter small
python3 -c "
row = '{\"prompt\": \"' + 'a b c d ' * 500 + '\", \"completion\": \" x\"}'
for _ in range(9000):
    print(row)" >"$WORK/big.jsonl"
call POST /v1/adapters \
    -d '{"name": "big", "config": {"max_length": 2048, "batch_size": 1, "steps": 1}}' >/dev/null
put big dataset.jsonl "$WORK/big.jsonl" '?train=1' >/dev/null
await big 'ready v1' 40
rows 16 blue >"$WORK/small.jsonl"
put small dataset.jsonl "$WORK/small.jsonl" '?train=1' >/dev/null
await small 'ready v1' 20
wait_until 30 await_budget || fail "memory is not given back"
