# A writer that is killed closes like any other; the line it was cut off in gives it away.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task
rows 4 red >"$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
(
    rows 2 blue
    printf '{"prompt": "Item 3 is", "comp'
    sleep 60
) | cat >"$MODEL/task/dataset.jsonl" &
cat=$!
wait_until 10 grep -q comp "$MODEL/task/dataset.jsonl" || fail "nothing was written"
kill -KILL "$cat"
wait_status task 'dataset.jsonl: line 3'
[ "$(cat "$MODEL/task/dataset.jsonl")" = "$(rows 4 red)" ]
[ "$(versions_of task)" = 1 ]
