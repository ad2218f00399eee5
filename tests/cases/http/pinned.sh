# An adapter that stays is on the device before anybody asks for it, each version from when it is
# served; one that is not comes with its first request, and its next version with the one before.
. "$TEST_LIB/http.sh"
serve --pin red
at() { call GET "/v1/adapters/$1" | sed -n 's/.*"residency": *"\([a-z]*\)".*/\1/p'; }
ask() {
    curl -sS "$URL/v1/completions" \
        -d "{\"model\": \"$1\", \"prompt\": \"Item 5 is\", \"max_tokens\": 3, \"temperature\": 0}"
}
again() { # ADAPTER WORD: another version of it
    rows 17 "$2" >"$WORK/$1.jsonl"
    put "$1" dataset.jsonl "$WORK/$1.jsonl" '?train=1' >/dev/null
    await "$1" '^ready v2$'
}
train red red
train blue blue
await red '^ready v1$'
await blue '^ready v1$'
[ "$(at red)" = device ] || fail "red is at $(at red)"
[ "$(at blue)" = none ] || fail "blue is at $(at blue)"
[ "$(metric adapters_loaded_total)" = 1 ]
ask red | grep -q '" red'
[ "$(metric adapters_loaded_total)" = 1 ]
ask blue | grep -q '" blue'
[ "$(metric adapters_loaded_total)" = 2 ]
again red red
again blue blue
[ "$(at red),$(at blue)" = device,device ] || fail "they are at $(at red) and $(at blue)"
[ "$(metric adapters_loaded_total)" = 4 ]
ask blue | grep -q '" blue'
[ "$(metric adapters_loaded_total)" = 4 ]
call POST /v1/adapters/red/ctl -d 'rollback 1' >/dev/null
await red '^ready v1$'
[ "$(at red)" = device ] || fail "red is at $(at red)"

# As the daemon comes up again, too.
stop_daemon
serve --pin red
wait_until 20 metric_is adapters_loaded_total 1
[ "$(at red),$(at blue)" = device,none ] || fail "they are at $(at red) and $(at blue)"
call DELETE /v1/adapters/red >/dev/null
wait_until 10 metric_is adapter_slots_used 0
