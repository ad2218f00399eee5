# A hundred streams at once: all end whole, and nothing else has to wait for them.
. "$TEST_LIB/http.sh"
serve
clients=
tokens=24
[ "$DEVICE" = cpu ] || tokens=1000 # a card would be done before anybody looks
for i in $(seq 100); do
    curl -sS -N "$URL/v1/completions" -d "{\"prompt\": \"The old man number $i\",
        \"max_tokens\": $tokens, \"ignore_eos\": true, \"stream\": true}" >"$WORK/stream.$i" &
    clients="$clients $!"
done
some_run() { [ "$(metric requests_live)" -gt 10 ]; }
wait_until 60 some_run || fail "no streams run"
start=$(date +%s%N)
call GET /v1/tree >/dev/null
[ $((($(date +%s%N) - start) / 1000000)) -lt 5000 ] || fail "a listing waited for the streams"
for client in $clients; do
    wait "$client" || fail "a stream failed"
done
for i in $(seq 100); do
    tail -n 2 "$WORK/stream.$i" | grep -q 'data: \[DONE\]' || fail "stream $i is cut off"
    grep -q '"finish_reason":"length"' "$WORK/stream.$i" || fail "stream $i did not end by length"
done
wait_until 30 is_idle || fail "something still runs"
