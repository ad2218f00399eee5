# tail -f follows the log through a training: every line, once, whole.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task 30
rows 2 red >"$MODEL/task/dataset.jsonl"
wait_until 20 test -s "$MODEL/task/log" || fail "no log"
tail -n +1 -s 0.05 -f "$MODEL/task/log" >"$WORK/followed" 2>"$WORK/tail.err" &
tail=$!
wait_status task '^ready v1$'
wait_until 20 cmp "$WORK/followed" "$MODEL/task/log" || fail "tail -f saw something else"
kill "$tail"
[ ! -s "$WORK/tail.err" ] || fail "tail: $(cat "$WORK/tail.err")"
check json_lines "$WORK/followed" 3

# What was logged before it is opened is read, however lately its size was told.
for n in 2 3 4; do
    stat "$MODEL/task/log" >/dev/null
    curl -sf --unix-socket "$SOCK" -d train http://lorafs/v1/adapters/task/ctl
    [ "$(grep -c '"event":"queued"' "$MODEL/task/log")" = $n ] || fail "$(cat "$MODEL/task/log")"
    wait_status task "^ready v$n$"
done
