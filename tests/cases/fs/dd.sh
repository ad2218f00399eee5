# dd: whole, byte by byte, and into the middle of what is there.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task
rows 4 red >"$WORK/a.jsonl"
dd if="$WORK/a.jsonl" of="$MODEL/task/dataset.jsonl" bs=1 status=none
wait_status task '^ready v1$'
cmp "$WORK/a.jsonl" "$MODEL/task/dataset.jsonl"
at=$(grep -abo red "$WORK/a.jsonl" | head -1 | cut -d: -f1)
printf oak | dd of="$MODEL/task/dataset.jsonl" bs=1 seek="$at" conv=notrunc status=none
wait_status task '^ready v2$'
[ "$(grep -c oak "$MODEL/task/dataset.jsonl")" = 1 ]
[ "$(grep -c red "$MODEL/task/dataset.jsonl")" = 3 ]

# A file that is all holes is written by its size alone; it is no data set.
truncate -s 2M "$WORK/holes"
refuses cp --sparse=always "$WORK/holes" "$MODEL/task/dataset.jsonl"
refuses truncate -s 10 "$MODEL/task/dataset.jsonl"
[ "$(versions_of task)" = "1 2" ]
[ "$(wc -l <"$MODEL/task/dataset.jsonl")" = 4 ]
