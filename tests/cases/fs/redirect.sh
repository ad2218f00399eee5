# > and >> of a shell, also from several processes that share one descriptor.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task
row() { echo "{\"prompt\": \"$1\", \"completion\": \" $2\"}"; }
row a b >"$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
row c d >>"$MODEL/task/dataset.jsonl"
wait_status task '^ready v2$'
[ "$(cat "$MODEL/task/dataset.jsonl")" = "$(row a b; row c d)" ]

# A child's exit flushes half of the file; only the whole of it counts.
(
    /bin/echo -n '{"prompt": "a", '
    sleep 0.3
    /bin/echo '"completion": " b"}'
) >"$MODEL/task/dataset.jsonl"
wait_status task '^ready v3$'
[ "$(versions_of task)" = "1 2 3" ]

rows 4 red | tee "$MODEL/task/dataset.jsonl" >"$WORK/copy"
wait_status task '^ready v4$'
cmp "$WORK/copy" "$MODEL/task/dataset.jsonl"

# noclobber creates, and is refused where the file is.
rows 2 blue >"$WORK/two"
(set -C; refuses bash -c "set -C; cat '$WORK/two' >'$MODEL/task/dataset.jsonl'")
stays task '^ready v4$'

# Writers that append at once lose no line.
check append_shared "$MODEL/task/dataset.jsonl" 50 4
wait_status task '^ready v5$'
check json_lines "$MODEL/task/dataset.jsonl" 204
