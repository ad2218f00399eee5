# A daemon that is stopped costs a call one time-out, however many requests it takes; then `ls` and
# `status` show what was known, marked, changes fail at once, and all goes on when it does.
. "$TEST_LIB/common.sh"
start_daemon
start_mount --timeout 3 --wait 0
make_adapter task
rows 4 red >"$WORK/rows.jsonl"
cp "$WORK/rows.jsonl" "$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
ls -lR "$MODEL" >/dev/null

# took LIMIT COMMAND...: its status; it must not take longer, in seconds of any machine.
took() {
    local begin=$SECONDS status=0
    "${@:2}" >"$WORK/said" 2>"$WORK/why" || status=$?
    [ $((SECONDS - begin)) -le "$1" ] || fail "'${*:2}' took $((SECONDS - begin)) s"
    return $status
}
failed() { ! took "$@"; }

kill -STOP "$DAEMON"
took 10 cat "$MODEL/task/status" # 3 s, once
grep -E '^stale: the daemon has been silent for [0-9]+ s; v1 was served$' "$WORK/said" >/dev/null ||
    fail "status is '$(cat "$WORK/said")'"
took 2 ls -l "$MODEL"
grep task "$WORK/said" >/dev/null
took 2 ls "$MODEL/task"
grep dataset.jsonl "$WORK/said" >/dev/null
failed 2 mkdir "$MODEL/other"
grep -i 'timed out' "$WORK/why" >/dev/null
failed 4 cp "$WORK/rows.jsonl" "$MODEL/task/eval.jsonl"
failed 2 cat "$MODEL/task/dataset.jsonl"
failed 2 sh -c "echo train >$MODEL/task/ctl"
kill -CONT "$DAEMON"
wait_status task '^ready v1$'
cmp "$WORK/rows.jsonl" "$MODEL/task/dataset.jsonl"
wait_until 10 mkdir "$MODEL/other"

# A call that waits when the daemon is stopped ends, too.
echo 'Item 1 is' >"$MODEL/task/prompt"
kill -STOP "$DAEMON"
failed 10 cat "$MODEL/task/generate"
# One that is killed meanwhile is not waited for, and another is found.
kill -KILL "$DAEMON"
wait "$DAEMON" 2>/dev/null || true
DAEMON=
failed 5 cat "$MODEL/task/dataset.jsonl"
start_daemon
wait_status task '^ready v1$'
grep 'nothing heard for' "$WORK/mount.log" >/dev/null
