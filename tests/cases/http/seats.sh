# The base on two devices behind one door: what 64 adapters say is what they say from one, both
# devices work, trainings come to both, and everybody who looks sees each.
. "$TEST_LIB/http.sh"
[ "$DEVICE" = cpu ] || skip "seats of the cpu device"
N=64
py seats.py make "$WORK/adapters" $N
serve --allow-load --cpu-products fp32
py seats.py load "$WORK/adapters" $N
py seats.py ask $N "$WORK/one"
[ -z "$(metric 'seat_ready.*')" ] || fail "one seat is counted apart"
stop_daemon

serve --seats 2 --cpu-products fp32
py seats.py ask $N "$WORK/two"
py seats.py same "$WORK/one" "$WORK/two"
of_seat() { metric "seat_$2{base=\"base\",seat=\"$1\",.*}"; }
for seat in 0 1; do
    [ "$(of_seat $seat ready)" = 1 ]
    [ "$(of_seat $seat completion_tokens_total)" -gt 300 ] || fail "seat $seat hardly answers"
    [ "$(of_seat $seat adapter_slots_used)" -lt $N ] || fail "every adapter is on seat $seat"
done
[ "$(metric completion_tokens_total)" = $((3 * N * 12)) ]

# Of two trainings each seat has one, as long as both are there.
for name in red blue; do
    train $name $name 400
done
each_trains() { [ "$(of_seat 0 trainings_running),$(of_seat 1 trainings_running)" = 1,1 ]; }
wait_until 60 each_trains || fail "both trainings are on one seat"
for name in red blue; do
    call POST /v1/adapters/$name/ctl -d finish >/dev/null
    await $name '^ready v1$'
done

# One that asks for two devices has them, and learns what it learns on one.
trained_on() { # NAME DEVICES
    new_adapter "$1" 6 "\"devices\": $2, \"accumulation\": 2"
    put "$1" dataset.jsonl "$WORK/red.jsonl" '?train=1' >/dev/null
    await "$1" '^ready v1$'
    call GET "/v1/adapters/$1/files/log" | sed -n 's/.*"loss":\([0-9.]*\),.*"grad_norm".*/\1/p'
}
trained_on alone 1 >"$WORK/alone"
grep -q 'helps with a training' "$WORK/daemon.log" && fail "a training has help that wants none"
trained_on together 2 >"$WORK/together"
grep -q 'seat 1: helps with a training' "$WORK/daemon.log" || fail "seat 1 does not help"
[ "$(wc -l <"$WORK/alone")" = 6 ] || fail "$(cat "$WORK/alone")"
paste "$WORK/alone" "$WORK/together" |
    awk '{ d = $1 - $2; if (d > 1e-5 || d < -1e-5) exit 1 }' || fail "they learn otherwise"

# One whose step is worth it has both where it leaves that to the daemon; who helps is seen as long
# as it does.
new_adapter long 100000 '"devices": "auto", "accumulation": 128'
put long dataset.jsonl "$WORK/red.jsonl" '?train=1' >/dev/null
helped() { [ "$(of_seat 0 trainings_helped),$(of_seat 1 trainings_helped)" = "$1" ]; }
wait_until 60 helped 0,1 || fail "seat 1 is not seen to help"
wait_until 60 metric_is trainings_running 1 || fail "the training does not begin"
call GET /v1/bases | grep -q '"seat":0,.*"helping":0,.*"seat":1,.*"helping":1,'
"$BIN/lorafs" top --url "$URL" --once --json | grep -q '"helping": *1'
"$BIN/lorafs" status --url "$URL" | grep -q 'seat 1: ready on cpu.*, helps with a training'
call POST /v1/adapters/long/ctl -d finish >/dev/null
await long '^ready v1$'
wait_until 10 helped 0,0 || fail "seat 1 is seen to help yet"

call GET /v1/bases | grep -q '"seats":\[{"seat":0,.*"state":"ready",.*{"seat":1,'
"$BIN/lorafs" top --url "$URL" --once | grep -c '^[01] .*cpu' | grep -qx 2
"$BIN/lorafs" status --url "$URL" | grep -q 'seat 1: ready on cpu'
answers_with 200 GET /health
stop_daemon

refuses "$BIN/lorafsd" --base "$BASE" --data "$DATA" --device cpu --gpu 0,1
refused_with 'on each card of the cuda device'
refuses "$BIN/lorafsd" --base "$BASE" --data "$DATA" --gpu 0,x
refused_with 'cards are numbers'
refuses "$BIN/lorafsd" --base "$BASE" --data "$DATA" --gpu 1,1
refused_with 'twice'
