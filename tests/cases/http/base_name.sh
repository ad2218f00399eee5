# No adapter takes the name of the base, which answers to it; one that had it before is not listed.
. "$TEST_LIB/http.sh"
mkdir "$WORK/first" "$WORK/second"
ln -s "$BASE"/* "$WORK/first"
ln -s "$BASE"/* "$WORK/second"
BASE=$WORK/first
serve --allow-load
answers_with 400 POST /v1/adapters -d '{"name": "first"}'
grep -q 'name of the base' "$WORK/body"
train second red
await second '^ready v1$'
answers_with 400 POST /v1/adapters/second/rename -d '{"to": "first"}'
mkdir "$WORK/peft"
for file in adapter_config.json adapter_model.safetensors; do
    call GET "/v1/adapters/second/files/adapter/$file" >"$WORK/peft/$file"
done
answers_with 400 POST /v1/load_lora_adapter \
    -d "{\"lora_name\": \"first\", \"lora_path\": \"$WORK/peft\"}"
call GET /v1/models | grep -q '"id":"second"' || fail "$(cat "$WORK/body")"

# The daemon's next base has the adapter's name.
end_process "$DAEMON"
BASE=$WORK/second
serve
grep -q 'the adapter second has the name of the base' "$WORK/daemon.log"
[ "$(call GET /v1/models | grep -o '"id":"second"' | wc -l)" = 1 ] || fail "$(cat "$WORK/body")"
call POST /v1/adapters/second/rename -d '{"to": "mine"}' >/dev/null
call POST /v1/completions -d '{"model": "mine", "prompt": "Item 5 is", "max_tokens": 3,
    "temperature": 0}' | grep -q '" red' || fail "$(cat "$WORK/body")"
