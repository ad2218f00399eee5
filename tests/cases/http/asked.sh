# Asked as trained: generate puts a prompt into what stood before the answers in the rows.
. "$TEST_LIB/http.sh"

chatty
serve

# asked NAME TEXT: how many ids the prompt had.
asked() {
    curl -sS -o "$WORK/answer" -D "$WORK/head" --data-binary "$2" \
        "$URL/v1/adapters/$1/generate?max_tokens=4"
    tr -d '\r' <"$WORK/head" | sed -n 's/^x-prompt-tokens: //Ip'
}
# ids TEXT: how many it has by itself.
ids() {
    call POST /tokenize -d "$(python3 -c 'import json, sys
print(json.dumps({"inputs": sys.argv[1], "add_special_tokens": True}))' "$1")" |
        grep -o '"id"' | wc -l
}
same() { [ "$1" = "$2" ] || fail "$3: $1, not $2"; }

new_adapter chat 2
for i in 1 2 3 4; do
    echo "{\"messages\": [{\"role\": \"user\", \"content\": \"Item $i is\"}," \
        "{\"role\": \"assistant\", \"content\": \"red\"}]}"
done >"$WORK/chat.jsonl"
put chat dataset.jsonl "$WORK/chat.jsonl" '?train=1' >/dev/null
await chat '^ready v1$'
chat() { # the same through OpenAI's route
    call POST /v1/chat/completions -d "{\"model\": \"chat\", \"temperature\": 0, \"max_tokens\": 4,
        \"messages\": $1}" | sed -n 's/.*"prompt_tokens": *\([0-9]*\).*/\1/p'
}
user='[{"role": "user", "content": "Item 9 is"}]'
same "$(asked chat 'Item 9 is')" "$(chat "$user")" 'a text'
same "$(asked chat "$user")" "$(chat "$user")" 'a list of messages'
same "$(asked chat $'\xef\xbb\xbfItem 9 is\r\n')" "$(chat "$user")" 'a text as Windows writes it'
turns='[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
    {"role": "user", "content": "c"}]'
same "$(asked chat "{\"messages\": $turns}")" "$(chat "$turns")" 'a conversation'

# It is the version's, not that of rows which came later and were not trained on.
rows 2 red >"$WORK/plain.jsonl"
put chat dataset.jsonl "$WORK/plain.jsonl" >/dev/null
same "$(asked chat 'Item 9 is')" "$(chat "$user")" 'after other rows came'

new_adapter plain 2
put plain dataset.jsonl "$WORK/plain.jsonl" '?train=1' >/dev/null
new_adapter quiz 2
for i in 1 2; do
    echo "{\"question\": \"Which is item $i?\", \"answer\": \"red\"}"
done >"$WORK/quiz.jsonl"
put quiz dataset.jsonl "$WORK/quiz.jsonl" '?train=1' >/dev/null
await plain '^ready v1$'
await quiz '^ready v1$'
same "$(asked plain 'Item 9 is')" "$(ids 'Item 9 is')" 'a bare prompt'
same "$(asked quiz 'Who?')" "$(ids $'Question: Who?\nAnswer:')" 'a question'

# Chats are put as the rows were, too: OpenAI's route, the mount's, vLLM's /tokenize.
chat_of() { # chat_of NAME TURNS
    call POST /v1/chat/completions -d "{\"model\": \"$1\", \"max_tokens\": 2, \"messages\": $2}" |
        sed -n 's/.*"prompt_tokens": *\([0-9]*\).*/\1/p'
}
who='[{"role": "user", "content": "Who?"}]'
same "$(chat_of plain "$user")" "$(ids 'Item 9 is')" 'a chat with an adapter of bare prompts'
same "$(chat_of quiz "$who")" "$(ids $'Question: Who?\nAnswer:')" 'a question in a chat'
same "$(asked 'quiz' 'Who?')" "$(asked 'quiz' "$who")" 'a conversation'
same "$(call POST /tokenize -d "{\"model\": \"quiz\", \"messages\": $who}" |
    sed -n 's/.*"count": *\([0-9]*\).*/\1/p')" "$(chat_of quiz "$who")" '/tokenize'
answers_with 400 POST /v1/chat/completions -d "{\"model\": \"quiz\", \"messages\": $who,
    \"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\"}}]}"
grep -q 'no place in the prompts' "$WORK/body" || fail "tools: $(cat "$WORK/body")"

# The template is the version's: one that comes later is for the next training, and it goes with the
# weights where they are copied.
new_adapter form 2
printf 'Say {what}:' >"$WORK/template"
echo '{"what": "sea", "completion": " red"}' >"$WORK/form.jsonl"
put form template "$WORK/template" >/dev/null
put form dataset.jsonl "$WORK/form.jsonl" '?train=1' >/dev/null
await form '^ready v1$'
sea=$(ids 'Say land:')
printf 'What could be said of {what} is this:' >"$WORK/template"
put form template "$WORK/template" >/dev/null
same "$(asked form land)" "$sea" 'generate after another template came'
same "$(chat_of form '[{"role": "user", "content": "land"}]')" "$sea" 'a chat'
new_adapter copy 2
for file in adapter_config.json adapter_model.safetensors; do
    curl -sS "$URL/v1/adapters/form/files/adapter/$file" >"$WORK/$file"
    put copy "adapter/$file" "$WORK/$file" >/dev/null
done
await copy '^ready v1$'
same "$(asked copy land)" "$sea" 'a copy of the weights alone'
"$BIN/lorafs" chat --url "$URL" copy -n 2 land >/dev/null || fail "lorafs chat"

# An import is asked by what config.json says.
call GET /v1/adapters/chat/files/adapter/adapter_config.json >"$WORK/shape.json"
curl -sS "$URL/v1/adapters/chat/files/adapter/adapter_model.safetensors" >"$WORK/weights"
new_adapter import 2 '"ask": "messages"'
put import adapter/adapter_config.json "$WORK/shape.json" >/dev/null
put import adapter/adapter_model.safetensors "$WORK/weights" >/dev/null
await import '^ready v1$'
same "$(asked import 'Item 9 is')" "$(chat "$user")" 'an import'
