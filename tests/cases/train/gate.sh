# A version that is worse than the one that serves is kept and not served, and status, error, result
# and wait say why; the same rows again train nothing; rollback serves it all the same, and with the
# gate off it is served at once. So it stays when the daemon ends at any moment.
. "$TEST_LIB/http.sh"
serve
lorafs() { "$BIN/lorafs" "$@"; }
export LORAFS_URL=$URL
status() { call GET /v1/adapters/task/files/status | head -n 1; }
status_is() { [ "$(status)" = "$1" ]; }
config() { # SEED [GATE]
    echo "{\"rank\": 4, \"steps\": 12, \"batch_size\": 2, \"max_length\": 32, \"max_tokens\": 4," \
        "\"learning_rate\": 0.003, \"seed\": $1, \"metric\": \"exact_match\"," \
        "\"gate\": \"${2:-on}\"}" >"$WORK/config.json"
    put task config.json "$WORK/config.json" >/dev/null
}
train() { put task dataset.jsonl "$WORK/$1.jsonl" "?train=1" >/dev/null; }

lorafs create task
rows 8 red >"$WORK/eval.jsonl"
rows 8 red >"$WORK/red.jsonl"
rows 8 blue >"$WORK/blue.jsonl"
config 1
put task eval.jsonl "$WORK/eval.jsonl" >/dev/null
train red
lorafs wait task 2>/dev/null | grep -c '^task ready v1 exact_match 1.0000'

# Something else is learnt than what is asked for: v1 goes on serving.
train blue
refuses lorafs wait task
refused_with 'v2 is worse'
status_is 'ready v1; v2 is worse: exact_match 0.00, was 1.00' || fail "$(status)"
call GET /v1/adapters/task/files/error | grep -cx 'v2 is worse: exact_match 0.00, was 1.00'
lorafs log task | grep -c '"event":"not served","version":2'
lorafs run task -T 0 'Item 1 is' | grep -c red
call GET /v1/adapters/task/files/versions/2/metrics.json | grep -c '"score": 0'
put task dataset.jsonl "$WORK/blue.jsonl" >/dev/null
sleep 1.5 # what is quiet for a second trains, where it is new
[ "$(lorafs log task | grep -c '"event":"queued"')" = 2 ] || fail "the same rows train again"

# As if it had ended before the verdict: the next start scores what was held.
config 2
train blue
wait_until 60 status_is 'ready v1; v3 is worse: exact_match 0.00, was 1.00' || fail "$(status)"
stop_daemon
forget_score
serve
export LORAFS_URL=$URL
wait_until 60 grep -q '"eval"' "$DATA"/adapters/*/metrics.json || fail "v3 stays without a score"
lorafs log task | grep -c '"event":"not served","version":3' | grep -cx 2
status_is 'ready v1; v3 is worse: exact_match 0.00, was 1.00' || fail "$(status)"
lorafs rollback task 3 >/dev/null
status_is 'ready v3' || fail "$(status)"
lorafs run task -T 0 'Item 1 is' | grep -c red && fail "v3 does not serve"
lorafs rollback task 1 >/dev/null

# Better, or as good: served when it was scored.
config 3
train red
lorafs wait task 2>/dev/null | grep -c '^task ready v4 exact_match 1.0000'
config 4 off
train blue
lorafs wait task 2>/dev/null | grep -c '^task ready v5 exact_match 0.0000'
