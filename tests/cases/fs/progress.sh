# progress ends with the job, and at once where there is none.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task 20
timeout $((60 * SLOWER)) cat "$MODEL/task/progress" >"$WORK/idle"
rows 4 red >"$MODEL/task/dataset.jsonl"
timeout $((60 * SLOWER)) cat "$MODEL/task/progress" >"$WORK/bar"
status_is task '^ready v1$'
grep -q '20/20\|ready v1' "$WORK/bar" || fail "$(cat "$WORK/bar")"
