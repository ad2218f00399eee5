# A job from cp to served: queued, trained, scored; the same again trains nothing; orders are
# obeyed.
. "$TEST_LIB/http.sh"
serve
new_adapter task 100 '"metric": "exact_match"'
rows 4 red >"$WORK/held_out"
rows 16 red >"$WORK/rows"
put task eval.jsonl "$WORK/held_out" >/dev/null
put task dataset.jsonl "$WORK/rows" '?train=1' | grep -q '"queued":true'
curl -sS -N "$URL/v1/adapters/task/files/progress?follow=1" >"$WORK/progress"
tr '\r' '\n' <"$WORK/progress" | grep -q 'task v1 \[.*\] [0-9]*/100 loss'
tr '\r' '\n' <"$WORK/progress" | tail -n 1 | grep -q 'task ready v1$'
await task '^ready v1$'
call GET /v1/adapters/task/files/log >"$WORK/log"
[ "$(grep -c '"event":"step"' "$WORK/log")" = 100 ]
grep -q '"event":"done"' "$WORK/log"
call GET /v1/adapters/task/files/loss.svg | grep -q '<svg'
scored() { curl -sS "$URL/v1/adapters/task/files/metrics.json" | grep -q '"eval"'; }
wait_until 60 scored || fail "the version was not scored"
call GET /v1/adapters/task/files/metrics.json | "${PYTHON:-python3}" -c '
import json, sys
m = json.load(sys.stdin)
assert m["version"] == 1 and m["data"]["rows"] == 16, m
assert m["eval"]["score"] > 0.9 > 0.1 > m["base"]["score"], m
assert 0 < m["train"]["eval_loss"] < 2, m'

# The same bytes train nothing; other settings, or an order, do.
put task dataset.jsonl "$WORK/rows" '?train=1' | grep -q '"queued":false'
call PUT /v1/adapters/task/files/config.json -d "$(settings 3)" >/dev/null
put task dataset.jsonl "$WORK/rows" '?train=1' | grep -q '"queued":true'
await task '^ready v2$'
call POST /v1/adapters/task/ctl -d train >/dev/null
await task '^ready v3$'
call POST /v1/adapters/task/ctl -d 'rollback 1' >/dev/null
line_is task '^ready v1$' || fail "$(status_line task)"
answers_with 404 POST /v1/adapters/task/ctl -d 'rollback 9'
answers_with 400 POST /v1/adapters/task/ctl -d dance
answers_with 400 POST /v1/adapters/task/ctl -d ''

# Pause, resume, cancel, retry.
call PUT /v1/adapters/task/files/config.json -d "$(settings 5000)" >/dev/null
call POST /v1/adapters/task/ctl -d train >/dev/null
await task '^training v4 [1-9]'
call POST /v1/adapters/task/ctl -d pause >/dev/null
await task '^paused v4 '
stands_still() {
    local at
    at=$(status_line task)
    sleep 1
    [ "$(status_line task)" = "$at" ]
}
wait_until 30 stands_still || fail "it goes on while paused" # a step may be under way
job=$(call GET /v1/adapters/task | sed 's/.*"last_job":\([0-9]*\).*/\1/')
call POST "/v1/jobs/$job/resume" >/dev/null
await task '^training v4 '
answers_with 409 POST "/v1/jobs/$job/retry"
call POST "/v1/jobs/$job/cancel" >/dev/null
await task '^ready v1$'
answers_with 409 POST "/v1/jobs/$job/cancel"
call GET "/v1/jobs/$job" | grep -q '"state":"cancelled"'
call POST "/v1/jobs/$job/retry" >/dev/null
await task '^training v5 [1-9]'

# Newer inputs take the place of a job that is open; a removed adapter's job ends.
rows 16 blue >"$WORK/rows"
put task dataset.jsonl "$WORK/rows" '?train=1' | grep -q '"queued":true'
await task '^training v6 [1-9]'
call DELETE /v1/adapters/task >/dev/null
idle() { metric_is trainings_running 0; }
wait_until 20 idle || fail "a removed adapter trains"
call GET /v1/jobs | grep -q '"state":"running"' && fail "a job of a removed adapter is open"
true
