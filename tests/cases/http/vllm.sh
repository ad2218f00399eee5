# What vLLM's clients ask beside OpenAI's routes: adapters of directories here, ids, pings.
. "$TEST_LIB/http.sh"
serve --allow-load
new_adapter task
rows 4 red >"$WORK/rows.jsonl"
put task dataset.jsonl "$WORK/rows.jsonl" '?train=1' >/dev/null
await task '^ready v1$'
mkdir "$WORK/peft"
for file in adapter_config.json adapter_model.safetensors; do
    call GET "/v1/adapters/task/files/adapter/$file" >"$WORK/peft/$file"
done
load() { echo "{\"lora_name\": \"mine\", \"lora_path\": \"$1\"}"; }
call POST /v1/load_lora_adapter -d "$(load "$WORK/peft")" | grep -q "'mine' added"
answers_with 400 POST /v1/load_lora_adapter -d "$(load "$WORK/peft/adapter_config.json")"
grep -q 'is no directory' "$WORK/body"
answers_with 404 POST /v1/load_lora_adapter -d "$(load "$WORK/nowhere")"

# Unloading frees the device and deletes nothing.
ask='{"model": "NAME", "prompt": "Item 3 is", "max_tokens": 4, "temperature": 0}'
text() { call POST /v1/completions -d "${ask/NAME/$1}" | sed 's/.*"text":"\([^"]*\)".*/\1/'; }
for name in mine task; do
    before=$(text "$name")
    metric_is adapter_slots_used 1
    call POST /v1/unload_lora_adapter -d "{\"lora_name\": \"$name\"}" | grep -q "'$name' removed"
    wait_until 10 metric_is adapter_slots_used 0
    call GET "/v1/models/$name" >/dev/null
    [ "$(text "$name")" = "$before" ]
    call POST /v1/unload_lora_adapter -d "{\"lora_name\": \"$name\"}" >/dev/null
    wait_until 10 metric_is adapter_slots_used 0
done
cmp <(call GET /v1/adapters/task/files/dataset.jsonl) "$WORK/rows.jsonl"
answers_with 404 POST /v1/unload_lora_adapter -d '{"lora_name": "nobody"}'

# Ids and back.
ids=$(call POST /tokenize -d '{"prompt": "The old man"}')
echo "$ids" | grep -q '"count":4,.*"max_model_len":2048,.*"tokens":\[1,504,768,461\],.*null'
call POST /tokenize -d '{"model": "task", "prompt": "The old man", "add_special_tokens": false,
    "return_token_strs": true}' | grep -q '"count":3,.*"token_strs":\["The",".* *old",".* *man"\]'
call POST /detokenize -d '{"tokens": [504, 768, 461]}' | grep -q '{"prompt":"The old man"}'
answers_with 400 POST /detokenize -d '{"tokens": [99999999]}'
answers_with 400 POST /tokenize -d '{"prompt": 3}'
answers_with 404 POST /tokenize -d '{"model": "nobody", "prompt": "x"}'
call GET /version | grep -q '"version":"[0-9]'
answers_with 200 GET /ping
answers_with 200 POST /ping
