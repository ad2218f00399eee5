# A daemon that is killed while it trains goes on from the checkpoint at its next start; one that is
# stopped, from where it was. The adapter has the bytes of a training that nothing cut off.
. "$TEST_LIB/http.sh"
serve --checkpoint-seconds 0 # after each step

steps=100 # not over before it is cut off
[ -z "${SANITIZE:-}" ] || steps=40
train whole red $steps
await whole '^ready v1$'

# events NAME: those of the job's log.
events() { curl -sS "$URL/v1/adapters/task/files/log" | grep "\"event\":\"$1\"" || true; }
got_on() { [ "$(events step | wc -l)" -gt "$1" ]; }
starts() { [ "$(events started | wc -l)" = "$1" ]; }
# started_at: the step at which the last start went on.
started_at() { events started | tail -n 1 | sed 's/.*"step":\([0-9]*\).*/\1/'; }

train task red $steps
wait_until 120 got_on 3 || fail "no steps"
kill_daemon
serve --checkpoint-seconds 0
wait_until 60 starts 2 || fail "it did not go on after SIGKILL"
killed_at=$(started_at)
[ "$killed_at" -gt 0 ] || fail "it started over after SIGKILL"

wait_until 120 got_on $((killed_at + 3)) || fail "no more steps"
stop_daemon
serve
wait_until 60 starts 3 || fail "it did not go on after SIGTERM"
stopped_at=$(started_at)
say "killed at step $killed_at, stopped at step $stopped_at of $steps"
[ "$stopped_at" -gt "$killed_at" ] || fail "it went back after SIGTERM"
[ "$stopped_at" -lt $steps ] || fail "it was over before it was stopped"

await task '^ready v1$'
for name in whole task; do
    call GET /v1/adapters/$name/files/adapter/adapter_model.safetensors >"$WORK/$name"
done
cmp "$WORK/whole" "$WORK/task"
