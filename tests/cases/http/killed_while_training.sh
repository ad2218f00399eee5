# SIGKILL in the middle of a training: the next start goes on from the checkpoint. SIGTERM: from
# where it was.
. "$TEST_LIB/http.sh"
serve
train task red 100000
checkpointed() { curl -sS "$URL/v1/adapters/task/files/log" | grep -q '"event":"checkpoint"'; }
wait_until 90 checkpointed || fail "no checkpoint was written"
kill_daemon
serve
resumed() {
    curl -sS "$URL/v1/adapters/task/files/log" | grep '"event":"started"' | tail -n 1 |
        grep -q '"step":[1-9]'
}
wait_until 60 resumed || fail "it did not go on from its checkpoint"
await task '^training v1 [1-9]'

before=$(status_line task | sed 's/training v1 \([0-9]*\).*/\1/')
stop_daemon
serve
started() { [ "$(curl -sS "$URL/v1/adapters/task/files/log" | grep -c '"event":"started"')" = 3 ]; }
wait_until 60 started || fail "it did not go on after SIGTERM"
after=$(curl -sS "$URL/v1/adapters/task/files/log" | grep '"event":"started"' | tail -n 1 |
    sed 's/.*"step":\([0-9]*\).*/\1/')
[ "$after" -ge "$before" ] || fail "stopped at step $before, went on at $after"
