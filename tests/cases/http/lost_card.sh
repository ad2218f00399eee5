# The card faults under a daemon that answers and trains: what is under way fails with that reason,
# the same process restarts, the mount lives on, and the training goes on from its checkpoint.
. "$TEST_LIB/http.sh"
[ "$DEVICE" = cuda ] || skip "it needs a card"
LF_FAULT=$WORK/fault LD_PRELOAD=$BIN/libfault_card.so serve --checkpoint-seconds 0
start_mount
train task red 2000
at_step() { [ "$(sed -n 's/^training v1 \([0-9]*\).*/\1/p' "$MODEL/task/status")" -gt "$1" ]; }
wait_until 60 at_step 20 || fail "no steps"
curl -sS -N "$URL/v1/completions" -d '{"prompt": "The old man", "max_tokens": 1900,
    "ignore_eos": true, "stream": true}' >"$WORK/stream" &
client=$!
streams() { [ -s "$WORK/stream" ]; }
wait_until 30 streams || fail "no stream"

touch "$WORK/fault"
again() { [ "$(grep -c 'ready on' "$WORK/daemon.log")" = "$1" ]; }
wait_until 60 again 2 || fail "the daemon did not restart"
wait "$client" || true
grep -q 'data: \[DONE\]' "$WORK/stream" && fail "the stream ended as if nothing had happened"
wait_until 60 listens || fail "the daemon does not answer"
URL=http://$ADDRESS
metric_is device_losses_total 1 || fail "the loss is not counted"
wait_until 60 at_step 0 || fail "the training does not go on"
grep '"event":"started"' "$MODEL/task/log" | tail -n 1 | grep -vq '"step":0,' ||
    fail "the training started over"
call POST /v1/completions -d '{"prompt": "The old man", "max_tokens": 4}' | grep -q '"text"'

# A job that has lost it three times fails. Four losses in a row are more than chance: the daemon
# ends, and says why.
for n in 3 4; do
    touch "$WORK/fault"
    wait_until 60 again $n || fail "the daemon did not restart at loss $((n - 1))"
done
wait_status task '^failed: '
wait_until 60 listens || fail "the daemon does not answer"
touch "$WORK/fault"
is_faulted() { [ ! -e "$WORK/fault" ]; }
wait_until 30 is_faulted
curl -sS "http://$ADDRESS/v1/completions" -d '{"prompt": "The old man"}' >"$WORK/answer" || true
status=0
wait "$DAEMON" || status=$?
DAEMON=
[ "$status" -gt 0 ] || fail "it ended with status 0"
grep -q 'lost 4 times in a row' "$WORK/daemon.log"
