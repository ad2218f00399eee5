# A client that goes away cancels its generation: streamed, in one piece, and while it waits.
. "$TEST_LIB/http.sh"
serve

long='{"prompt": "The old man", "max_tokens": 1900, "ignore_eos": true, "stream": STREAM}'
for stream in true false; do
    curl -sS -N "$URL/v1/completions" -d "${long/STREAM/$stream}" >"$WORK/stream" &
    client=$!
    wait_until 20 metric_is requests_live 1 || fail "nothing runs"
    sleep 0.3
    end_process "$client"
    wait_until 30 is_idle || fail "it still runs (stream: $stream)"
done

# `head` closes its end after three lines.
curl -sS -N "$URL/generate_stream" -d '{"inputs": "The old man", "parameters":
    {"max_new_tokens": 1900, "ignore_eos_token": true}}' 2>/dev/null | head -n 3 >/dev/null || true
wait_until 30 is_idle || fail "it still runs after head"
[ "$(metric 'generations_total{finish="cancelled"}')" = 3 ]

# A stop string ends the work too: far fewer tokens are made than were asked for.
before=$(metric completion_tokens_total)
call POST /v1/completions -d '{"prompt": "The old man", "max_tokens": 1900, "temperature": 0,
    "ignore_eos": true, "stop": " "}' >/dev/null
wait_until 30 is_idle || fail "it still runs after a stop string"
[ $(($(metric completion_tokens_total) - before)) -lt 500 ]
