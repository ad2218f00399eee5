# The daemon's log: what became of every job, every request with its id, as text or as JSON. A trace
# that a client began goes on: in the log, and in spans that a collector gets.
. "$TEST_LIB/http.sh"
serve
has_line() { grep -q "$1" "$WORK/daemon.log"; }
logs() { wait_until 20 has_line "$1" || fail "no line like: $1"; }

train task red 4
await task '^ready v1'
logs 'info jobs: task: queued adapter=task job=1 version=1'
logs 'info jobs: task: started .*version=1'
logs 'info jobs: task: done adapter=task job=1 version=1 step=4 loss=[0-9.]* seconds=[0-9.]*'
answers_with 422 PUT /v1/adapters/task/files/dataset.jsonl -d 'no'
logs 'warn jobs: task: refused adapter=task reason="dataset.jsonl: line 1'

# The client's id goes to the answer and the log; one that could drive a terminal does not.
curl -sS -D "$WORK/head" -o "$WORK/body" -H 'X-Request-Id: abc-1.2' "$URL/v1/adapters/nobody"
grep -qi '^X-Request-Id: abc-1.2' "$WORK/head"
logs 'info http: GET /v1/adapters/nobody status=404 ms=[0-9.]* request_id=abc-1.2'
curl -sS -D "$WORK/head" -o "$WORK/body" -H 'X-Request-Id: a b' "$URL/v1/adapters"
grep -qi '^X-Request-Id: [0-9a-f]*-[0-9a-f]*' "$WORK/head"
refuses grep -qi '^X-Request-Id: a b' "$WORK/head"
logs 'info http: GET /v1/adapters status=200 '
refuses grep -q 'GET /health status=200' "$WORK/daemon.log" # asked again and again
trace=0af7651916cd43dd8448eb211c80319c
curl -sS -D "$WORK/head" -o "$WORK/body" -H "traceparent: 00-$trace-b7ad6b7169203331-01" \
    "$URL/v1/bases"
logs "GET /v1/bases status=200 .* trace_id=$trace\$"
refuses grep -i '^traceresponse' "$WORK/head" # nobody collects
stop_daemon

"${PYTHON:-python3}" "$LF_SOURCE/tests/lib/collector.py" "$WORK/spans" "$WORK/port" \
    2>"$WORK/collector.log" &
wait_until 20 test -s "$WORK/port" || fail "no collector"
refuses "$BIN/lorafsd" --base "$BASE" --data "$DATA" --no-tcp --otlp-endpoint here
refused_with 'here is no address of a collector'
export OTEL_EXPORTER_OTLP_HEADERS='authorization=Bearer%20secret' OTEL_BSP_SCHEDULE_DELAY=50
export OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:$(cat "$WORK/port")/" no_proxy='*'
export OTEL_RESOURCE_ATTRIBUTES='deployment.environment.name=test'
"$BIN/lorafsd" --base "$BASE" --data "$DATA" --no-tcp --device "$DEVICE" --log-format json \
    2>"$WORK/json.log" &
DAEMON=$!
check answers "$SOCK" "$DAEMON"
curl -sS -o "$WORK/body" --unix-socket "$SOCK" -H 'X-Request-Id: abc' http://x/v1/bases
curl -sS -o "$WORK/body" --unix-socket "$SOCK" -X POST http://x/v1/adapters/task/ctl -d train
curl -sS -o "$WORK/body" --unix-socket "$SOCK" -X PUT -d 'no' \
    http://x/v1/adapters/task/files/config.json
json_done() { grep -q '"message":"task: done"' "$WORK/json.log"; }
wait_until 60 json_done || fail "$(cat "$WORK/json.log")"
check json_lines "$WORK/json.log" 5
line='"room":"http","message":"GET /v1/bases","status":200,"ms":[0-9.]*,"request_id":"abc"'
grep -q "$line"',"trace_id":"[0-9a-f]*"}$' "$WORK/json.log"
grep -q '"adapter":"task","job":2,"version":2,"step":4,' "$WORK/json.log"

# Spans: of a completion in a trace of the client's, of a stream in one of our own; not of a request
# that the client does not want to be traced, nor of those that are asked again and again.
ask() { curl -sS -D "$WORK/head" -o "$WORK/body" --unix-socket "$SOCK" "$@"; }
ask -H "traceparent: 00-$trace-b7ad6b7169203331-01" -H 'tracestate: a=1' http://x/v1/completions \
    -d '{"model": "task", "prompt": "Item 1 is", "max_tokens": 3, "n": 2, "ignore_eos": true}'
grep -qi "^traceresponse: 00-$trace-[0-9a-f]\{16\}-01" "$WORK/head"
ask http://x/v1/completions \
    -d '{"prompt": "a", "max_tokens": 2, "stream": true, "temperature": 0.5, "ignore_eos": true}'
ask -H "traceparent: 00-$trace-b7ad6b7169203332-00" http://x/v1/bases
ask http://x/health
sent() {
    ask http://x/metrics
    check metric "$WORK/body" lorafs_spans_sent_total 5
}
wait_until 60 sent || fail "spans stay: $(cat "$WORK/body")"
grep -q '^lorafs_spans_dropped_total 0$' "$WORK/body"
stop_daemon
check spans "$WORK/spans" "$trace"

# Of descriptors that whoever starts it has closed, it makes no files: what it says goes nowhere.
(
    exec <&- >&- 2>&-
    exec "$BIN/lorafsd" --base "$BASE" --data "$DATA" --device "$DEVICE" --no-tcp 3>&-
) &
DAEMON=$!
check answers "$SOCK" "$DAEMON"
stop_daemon
! grep -l 'info daemon' "$DATA"/state/* || fail "the log went into the store"
