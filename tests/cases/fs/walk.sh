# A walk over the tree (grep -r, tar, cp -r, du) ends, and starts no generation that no one has
# asked for: `generate` is empty to who follows no links.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task
rows 4 red >"$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
grep -rq nothing-like-this "$MNT" 2>"$WORK/grep.err" || true
refuses grep generate "$WORK/grep.err"
check read_errno "$MODEL/task/generate" ENODATA
echo 'Item 1 is' >"$MODEL/task/prompt"
du -s "$MNT" >/dev/null
find "$MNT" -type f -name '*.json*' | grep -q dataset.jsonl
cp -r "$MODEL/task" "$WORK/copy"
cp -a "$MODEL/task" "$WORK/same"
[ ! -s "$WORK/copy/generate" ] && [ ! -s "$WORK/same/generate" ]
cmp "$MODEL/task/dataset.jsonl" "$WORK/copy/dataset.jsonl"
cmp "$MODEL/task/versions/1/adapter_model.safetensors" \
    "$WORK/copy/versions/1/adapter_model.safetensors"
tar -C "$MODEL/task" -cf "$WORK/a.tar" dataset.jsonl log versions
tar -C "$WORK" -xf "$WORK/a.tar" log
cmp "$WORK/log" "$MODEL/task/log"
refuses "${PYTHON:-python3}" "$TEST_LIB/checks.py" metric "$MNT/metrics" \
    'lorafs_generations_total{finish="length"}' 1
