# Sourced by the cases of http/: common.sh, and a daemon on a free TCP port.
. "$TEST_LIB/common.sh"
need curl

ADDRESS= # 127.0.0.1:PORT
URL=

listens() {
    ADDRESS=$(sed -n 's/.* listening on \(127[0-9.:]*\) .*/\1/p' "$WORK/daemon.log" | tail -n 1)
    [ -n "$ADDRESS" ] && curl -sf "http://$ADDRESS/health" >/dev/null
}

# serve [OPTION...]: until it answers; ADDRESS and URL say where.
serve() {
    : >"$WORK/daemon.log"
    "$BIN/lorafsd" --base "$BASE" --data "$DATA" --listen 127.0.0.1:0 --device "$DEVICE" "$@" \
        2>>"$WORK/daemon.log" &
    DAEMON=$!
    wait_until 60 listens || fail "the daemon does not answer"
    URL=http://$ADDRESS
}

# chatty [TEMPLATE]: BASE is from now on one named chatty, with the chat template of this file; by
# default a line for each message.
chatty() {
    mkdir "$WORK/chatty"
    ln -s "$BASE"/* "$WORK/chatty/"
    cat "${1:-$TEST_LIB/chat.jinja}" >"$WORK/chatty/chat_template.jinja"
    BASE=$WORK/chatty
}

# call METHOD PATH [CURL ARGUMENT...]: prints the body; the status must be 2xx.
call() {
    local method=$1 path=$2 status
    shift 2
    status=$(curl -sS -X "$method" -o "$WORK/body" -w '%{http_code}' "$@" "$URL$path")
    [ "${status:0:1}" = 2 ] || fail "$method $path: $status $(cat "$WORK/body")"
    cat "$WORK/body"
}

# status_code METHOD PATH [CURL ARGUMENT...]: prints it; the body is in $WORK/body.
status_code() {
    local method=$1 path=$2
    shift 2
    curl -sS -X "$method" -o "$WORK/body" -w '%{http_code}' "$@" "$URL$path"
}

# answers_with CODE METHOD PATH [CURL ARGUMENT...]
answers_with() {
    local wanted=$1 got
    shift
    got=$(status_code "$@")
    [ "$got" = "$wanted" ] || fail "$2: $got, not $wanted: $(cat "$WORK/body")"
}

# new_adapter NAME [STEPS [MEMBERS]]
new_adapter() {
    local members
    members=$(settings "${2:-2}")
    call POST /v1/adapters -d "{\"name\": \"$1\", \"config\": ${members%\}}${3:+, $3}}}" >/dev/null
}

# put NAME FILE PATH [QUERY]
put() { call PUT "/v1/adapters/$1/files/$2${4:-}" --data-binary "@$3"; }

status_line() { curl -sS "$URL/v1/adapters/$1/files/status"; }

line_is() { status_line "$1" | grep -Eq "$2"; }

# await NAME REGEX [SECONDS]: until the adapter's status line says so.
await() {
    wait_until "${3:-120}" line_is "$1" "$2" || fail "$1 is '$(status_line "$1")', not /$2/"
}

# train NAME WORD [STEPS]: makes it and teaches it the word.
train() {
    new_adapter "$1" "${3:-12}"
    rows 16 "$2" >"$WORK/$1.jsonl"
    put "$1" dataset.jsonl "$WORK/$1.jsonl" '?train=1' >/dev/null
}

# metric NAME: a number of /metrics.
metric() { curl -sS "$URL/metrics" | sed -n "s/^lorafs_$1 //p"; }

metric_is() { [ "$(metric "$1")" = "$2" ]; }

# is_idle: no request runs or waits, and every page is free.
is_idle() {
    metric_is requests_live 0 && metric_is requests_waiting 0 &&
        metric_is kv_pages "$(metric kv_pages_free)"
}

# py FILE ARGUMENT...: a helper of this folder, with URL in its environment.
py() { URL=$URL "${PYTHON:-python3}" "$TEST_LIB/../http/$1" "${@:2}" || fail "$*"; }

# forget_score: of the one adapter, as if the daemon had ended before its version was scored.
forget_score() {
    "${PYTHON:-python3}" -c 'import json, sys
report = json.load(open(sys.argv[1]))
del report["eval"]
json.dump(report, open(sys.argv[1], "w"))' "$DATA"/adapters/*/metrics.json
}
