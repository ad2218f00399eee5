# The daemon's log: what became of every job, every request with its id, as text or as JSON.
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
refuses grep -q 'GET /health' "$WORK/daemon.log" # asked again and again
stop_daemon

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
grep -q '"room":"http","message":"GET /v1/bases","status":200,"ms":[0-9.]*,"request_id":"abc"}$' \
    "$WORK/json.log"
grep -q '"adapter":"task","job":2,"version":2,"step":4,' "$WORK/json.log"
