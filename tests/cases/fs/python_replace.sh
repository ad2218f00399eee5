# The careful way of programs: a temporary file, fsync, os.replace.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task
rows 4 red >"$WORK/a.jsonl"
rows 5 blue >"$WORK/b.jsonl"
check replace "$WORK/a.jsonl" "$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
cmp "$WORK/a.jsonl" "$MODEL/task/dataset.jsonl"
check replace "$WORK/b.jsonl" "$MODEL/task/dataset.jsonl"
wait_status task '^ready v2$'
cmp "$WORK/b.jsonl" "$MODEL/task/dataset.jsonl"

# The file stays open over its rename, and what is written then is not lost: it is trained in the
# same training, which waits until nothing has come for a second.
rows 6 green >"$WORK/c.jsonl"
check replace_before_close "$WORK/c.jsonl" "$MODEL/task/dataset.jsonl"
wait_status task '^ready v3$'
cmp "$WORK/c.jsonl" "$MODEL/task/dataset.jsonl"

# Flags of renameat2.
check rename2_errno "$MODEL/task/config.json" "$MODEL/task/dataset.jsonl" NOREPLACE EEXIST
check rename2_errno "$MODEL/task/config.json" "$MODEL/task/dataset.jsonl" EXCHANGE EINVAL
stays task '^ready v3$'
cmp "$WORK/c.jsonl" "$MODEL/task/dataset.jsonl"
