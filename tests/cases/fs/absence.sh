# A mount whose daemon is away for long, or silent: every call ends, none takes anything with it,
# and when the daemon is back all goes on. (LF_TEST_ROUNDS=100000: as many calls as in a day.)
. "$TEST_LIB/common.sh"
[ -z "${SANITIZE:-}" ] || skip "sanitizers keep what was freed"
rounds=${LF_TEST_ROUNDS:-100}
start_daemon --train-tokens 0
start_mount --timeout 1 --wait 0
mkdir "$MODEL/task"
echo kept >"$MODEL/task/prompt"
echo local >"$MODEL/task/.kept"
cat "$MODEL/task/prompt" >/dev/null

stop_daemon
check absence "$MODEL" "$MOUNT" "$rounds"
start_daemon --train-tokens 0
wait_until 20 grep -q kept "$MODEL/task/prompt" || fail "it is not back from its end"

kill -STOP "$DAEMON"
check absence "$MODEL" "$MOUNT" "$rounds"
kill -CONT "$DAEMON"
wait_until 20 grep -q kept "$MODEL/task/prompt" || fail "it is not back from its silence"
[ "$(cat "$MODEL/task/.kept")" = local ]
echo again >"$MODEL/task/prompt"
[ "$(cat "$MODEL/task/prompt")" = again ]
