# A hundred readers that wait for the end of a paused job keep nothing else waiting.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task 100000
rows 4 red >"$MODEL/task/dataset.jsonl"
wait_status task '^training'
echo pause >"$MODEL/task/ctl"
wait_status task '^paused'
check blocked_readers "$MODEL/task/progress" 100 "$MNT" 0.5
echo cancel >"$MODEL/task/ctl"
