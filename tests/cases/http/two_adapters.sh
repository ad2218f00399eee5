# Two adapters of one base answer at the same time, each with what it has learnt, in one batch.
. "$TEST_LIB/http.sh"
serve
train red red
train blue blue
await red '^ready v1$'
await blue '^ready v1$'

ask() {
    curl -sS "$URL/v1/completions" \
        -d "{\"model\": \"$1\", \"prompt\": \"Item 5 is\", \"max_tokens\": 3, \"temperature\": 0}"
}
clients=
for i in 1 2 3 4; do
    for word in red blue; do
        ask $word >"$WORK/$word.$i" &
        clients="$clients $!"
    done
done
for client in $clients; do
    wait "$client"
done
for i in 1 2 3 4; do
    grep -q '" red' "$WORK/red.$i" || fail "red says $(cat "$WORK/red.$i")"
    grep -q '" blue' "$WORK/blue.$i" || fail "blue says $(cat "$WORK/blue.$i")"
done
[ "$(metric adapter_slots_used)" = 2 ]

# LoRAX' names and headers, and the mount's route.
curl -sS -D "$WORK/head" "$URL/generate" -d '{"inputs": "Item 5 is", "parameters":
    {"adapter_id": "red", "max_new_tokens": 3, "details": true}}' >"$WORK/lorax"
grep -q '"generated_text":" red' "$WORK/lorax" || fail "red says $(cat "$WORK/lorax")"
grep -qi '^x-adapter-id: red' "$WORK/head"
grep -qi '^x-generated-tokens: [1-3]' "$WORK/head"
call POST '/v1/adapters/blue/generate?max_tokens=3' -d 'Item 5 is' | grep -q blue

# A mixture of one is that one, on OpenAI's routes as on LoRAX'; beside the base's name, not
# beside an adapter's.
mixed() {
    curl -sS "$URL/v1/$1" -d "{\"model\": \"$2\", $3, \"max_tokens\": 3, \"temperature\": 0,
        \"merged_adapters\": {\"ids\": [\"red\", \"blue\"], \"weights\": [$4]}}"
}
base=$(call GET /v1/models |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["data"][0]["id"])')
for name in "" "$base"; do
    mixed completions "$name" '"prompt": "Item 5 is"' "1, 0" >"$WORK/mixed"
    grep -q '" red' "$WORK/mixed" || fail "1 and 0 say $(cat "$WORK/mixed")"
    grep -q '"model":"red,blue"' "$WORK/mixed" || fail "its name: $(cat "$WORK/mixed")"
    mixed completions "$name" '"prompt": "Item 5 is"' "0, 1" >"$WORK/mixed"
    grep -q '" blue' "$WORK/mixed" || fail "0 and 1 say $(cat "$WORK/mixed")"
done
mixed completions red '"prompt": "Item 5 is"' "1, 0" | grep -q 'not asked for together'
mixed chat/completions "" '"messages": [{"role": "user", "content": "Item 5 is"}]' "1, 0" |
    grep -q '"model":"red,blue"'
