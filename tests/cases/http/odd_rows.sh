# What is odd about rows stands in status: eval rows that come after the training are looked for
# among its rows, and all of it outlives the daemon, with the version that it is of.
. "$TEST_LIB/http.sh"
serve

rows() { # of answers that are no labels
    local i
    for ((i = 1; i <= $1; i++)); do
        printf '{"prompt": "Item %d is", "completion": " %s %d"}\n' "$i" "$2" "$i"
    done
}
warned() { line_is "$1" "^warning: $2"; }
unwarned() { ! warned "$1" .; }
leaks() { call GET "/v1/adapters/$1/files/metrics.json" | sed -n 's/.*"leaks": \([0-9]*\).*/\1/p'; }
looked_at() { # looked_at NAME FILE: metrics.json is of these eval rows
    call GET "/v1/adapters/$1/files/metrics.json" |
        grep -q "\"eval_sha256\": \"$(sha256sum "$2" | cut -c1-64)\""
}

train early red 2
await early '^ready v1'
unwarned early || fail "status: $(status_line early)"
head -n 2 "$WORK/early.jsonl" >"$WORK/eval.jsonl"
echo '{"prompt": "Another is", "completion": " red"}' >>"$WORK/eval.jsonl"
put early eval.jsonl "$WORK/eval.jsonl" >/dev/null
wait_until 30 warned early 'eval rows that are trained on, too.*: 2 .line 1 is 1' ||
    fail "status: $(status_line early)"
[ "$(leaks early)" = 2 ] || fail "metrics.json has '$(leaks early)' leaks"

# Rows that come while it trains are looked at when it has ended.
new_adapter slow 60
rows 16 red >"$WORK/rows.jsonl"
put slow dataset.jsonl "$WORK/rows.jsonl" '?train=1' >/dev/null
await slow '^training'
put slow eval.jsonl "$WORK/eval.jsonl" >/dev/null
await slow '^ready v1'
wait_until 30 warned slow 'eval rows' || fail "status: $(status_line slow)"

stop_daemon
serve
warned early 'eval rows' || fail "after a restart: $(status_line early)"
warned slow 'eval rows' || fail "after a restart: $(status_line slow)"

# Others without a leak; then rows that repeat, and back.
tail -n 1 "$WORK/eval.jsonl" >"$WORK/clean.jsonl"
put early eval.jsonl "$WORK/clean.jsonl" >/dev/null
wait_until 30 looked_at early "$WORK/clean.jsonl" || fail "metrics.json is not of the new rows"
wait_until 30 unwarned early || fail "status: $(status_line early)"
cat "$WORK/early.jsonl" "$WORK/early.jsonl" >"$WORK/twice.jsonl"
put early dataset.jsonl "$WORK/twice.jsonl" '?train=1' >/dev/null
await early '^ready v2'
warned early 'rows that repeat' || fail "status: $(status_line early)"
call POST /v1/adapters/early/ctl -d 'rollback 1' >/dev/null
unwarned early || fail "status of version 1: $(status_line early)"
call POST /v1/adapters/early/ctl -d 'rollback 2' >/dev/null
warned early 'rows that repeat' || fail "status of version 2: $(status_line early)"

# Settings that name what the base has not are refused before anything is trained.
bad='{"target_modules": ["q_proj", "nope"]}'
answers_with 400 POST /v1/adapters -d "{\"name\": \"bad\", \"config\": $bad}"
grep -q 'this model has no .*nope.* (it has q_proj' "$WORK/body" || fail "$(cat "$WORK/body")"
answers_with 422 PUT /v1/adapters/early/files/config.json -d "$bad"
grep -q 'this model has no .*nope' "$WORK/body" || fail "$(cat "$WORK/body")"
