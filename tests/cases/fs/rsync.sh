# rsync, by a temporary file and in place; what it has copied before it copies without training.
. "$TEST_LIB/common.sh"
need rsync
start_daemon
start_mount

make_adapter task
rows 4 red >"$WORK/dataset.jsonl"
rsync -a "$WORK/dataset.jsonl" "$MODEL/task/"
wait_status task '^ready v1$'
cmp "$WORK/dataset.jsonl" "$MODEL/task/dataset.jsonl"
rsync -a "$WORK/dataset.jsonl" "$MODEL/task/"
stays task '^ready v1$'

rows 5 blue >"$WORK/dataset.jsonl"
rsync --inplace "$WORK/dataset.jsonl" "$MODEL/task/"
wait_status task '^ready v2$'
rows 6 green >"$WORK/dataset.jsonl"
rsync -a --no-whole-file --inplace "$WORK/dataset.jsonl" "$MODEL/task/"
wait_status task '^ready v3$'
cmp "$WORK/dataset.jsonl" "$MODEL/task/dataset.jsonl"
rows 7 black >"$WORK/dataset.jsonl"
rsync -a --no-whole-file --checksum "$WORK/dataset.jsonl" "$MODEL/task/"
wait_status task '^ready v4$'
[ -z "$(cd "$MODEL/task" && find . -name '.dataset*')" ]

# A whole adapter, out of the tree and back.
rsync -a --include=dataset.jsonl --include=config.json --exclude='*' "$MODEL/task/" "$WORK/out/"
cmp "$WORK/dataset.jsonl" "$WORK/out/dataset.jsonl"
