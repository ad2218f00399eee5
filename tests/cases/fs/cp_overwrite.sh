# Other bytes train another version; the same bytes do not.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task
rows 4 red >"$WORK/a.jsonl"
rows 4 blue >"$WORK/b.jsonl"
cp "$WORK/a.jsonl" "$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
cp "$WORK/a.jsonl" "$MODEL/task/dataset.jsonl"
stays task '^ready v1$'
cp "$WORK/b.jsonl" "$MODEL/task/dataset.jsonl"
wait_status task '^ready v2$'
cmp "$WORK/b.jsonl" "$MODEL/task/dataset.jsonl"
[ "$(versions_of task)" = "1 2" ]
install -m 600 "$WORK/a.jsonl" "$MODEL/task/dataset.jsonl"
wait_status task '^ready v3$'
mv "$WORK/b.jsonl" "$MODEL/task/dataset.jsonl" # from another file system
wait_status task '^ready v4$'
