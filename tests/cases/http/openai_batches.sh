# OpenAI's own client: a batch is answered as its route answers, what is wrong with it is told, it
# is cancelled, it expires. A daemon that is killed goes on with what has no answer yet, and asks
# nothing twice; whoever waits for an answer is not kept by a batch.
. "$TEST_LIB/http.sh"
need_module openai
chatty
serve
train red red
await red '^ready v1$'
py openai_batches.py

line() { # I TOKENS
    echo "{\"custom_id\": \"q$1\", \"method\": \"POST\", \"url\": \"/v1/completions\"," \
        "\"body\": {\"prompt\": \"Item $1 is\", \"max_tokens\": $2, \"ignore_eos\": true}}"
}
for ((i = 0; i < 12; i++)); do line $i $((8 + 8 * i)); done >"$WORK/in.jsonl"
id_of() { sed 's/.*"id":"\([a-z]*[-_][0-9a-f]*\)".*/\1/'; }
file=$(call POST /v1/files -F purpose=batch -F "file=@$WORK/in.jsonl" | id_of)
batch=$(call POST /v1/batches -H 'Content-Type: application/json' -d "{\"input_file_id\": \"$file\",
    \"endpoint\": \"/v1/completions\", \"completion_window\": \"1d\"}" | id_of)
answered() { [ "$(cat "$DATA/documents/$batch.output" 2>/dev/null | wc -l)" -ge "$1" ]; }
wait_until 60 answered 2 || fail "nothing is answered"
call POST /v1/completions -d '{"prompt": "Item", "max_tokens": 1}' >/dev/null
answered 12 && fail "a batch is answered before who waits"
kill_daemon
before=$(wc -l <"$DATA/documents/$batch.output")
[ "$before" -lt 12 ] || fail "it was over before the daemon was killed"
printf '{"torn' >>"$DATA/documents/$batch.output"
"$BIN/lorafs" fsck "$DATA"
serve
status_is() { call GET "/v1/batches/$batch" | grep -q "\"status\":\"$1\""; }
wait_until 60 status_is completed || fail "$(call GET "/v1/batches/$batch")"
output=$(call GET "/v1/batches/$batch" | sed 's/.*"output_file_id":"\([^"]*\)".*/\1/')
call GET "/v1/files/$output/content" >"$WORK/out.jsonl"
[ "$(wc -l <"$WORK/out.jsonl")" = 12 ]
[ "$(grep -o '"custom_id":"q[0-9]*"' "$WORK/out.jsonl" | sort -u | wc -l)" = 12 ]
stop_daemon
"$BIN/lorafs" fsck "$DATA"
