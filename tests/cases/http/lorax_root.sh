# LoRAX' and huggingface_hub's clients: they post to /, with `stream` in the body and every
# parameter written out, and read a list of one.
. "$TEST_LIB/http.sh"
serve --train-tokens 0
parameters='"adapter_id": null, "adapter_source": "hub", "merged_adapters": null, "api_token": null,
    "best_of": null, "do_sample": false, "max_new_tokens": 4, "ignore_eos_token": false,
    "repetition_penalty": null, "return_full_text": false, "stop": [], "seed": null,
    "temperature": null, "top_k": null, "top_p": null, "truncate": null, "typical_p": null,
    "watermark": false, "response_format": null, "decoder_input_details": false,
    "return_k_alternatives": null, "details": true, "grammar": null, "top_n_tokens": null'
body="{\"inputs\": \"The old man\", \"parameters\": {$parameters}, \"stream\": STREAM}"
one=$(call POST /generate -d "${body/STREAM/false}")
[ "$(call POST / -d "${body/STREAM/false}")" = "[$one]" ] || fail "$(cat "$WORK/body")"
call POST / -d "${body/STREAM/true}" | grep -c '^data:{"token"' | grep -qx 4 ||
    fail "$(cat "$WORK/body")"
answers_with 400 POST / -d '{"inputs": "x", "parameters": {"grammar": {"type": "regex"}}}'

# What stands in the details asks for them.
for asks in '"top_n_tokens": 2' '"return_k_alternatives": 2' '"decoder_input_details": true'; do
    call POST /generate -d '{"inputs": "The", "parameters": {"max_new_tokens": 2, '"$asks"'}}' |
        grep -c '"details":{'
done

# The prompt's tokens and the alternatives, in LoRAX's and text-generation-inference's names.
call POST / -d '{"inputs": "The old man", "parameters": {"max_new_tokens": 2, "details": true,
    "decoder_input_details": true, "return_k_alternatives": 3, "top_n_tokens": 2}}' |
    python3 -c '
import json, sys
d = json.load(sys.stdin)[0]["details"]
assert [t["text"] for t in d["prefill"]] == ["<|begin_of_text|>", "The", " old", " man"], d
assert [t["logprob"] is None for t in d["prefill"]] == [True, False, False, False], d
for token, tops in zip(d["tokens"], d["top_tokens"], strict=True):
    best = token["alternative_tokens"]
    assert len(best) == 3 and len(tops) == 2 and best[0]["id"] == tops[0]["id"] == token["id"], d
    assert best[0]["logprob"] == token["logprob"] >= best[1]["logprob"] >= best[2]["logprob"], d
'
call POST /generate_stream -d '{"inputs": "The", "parameters": {"top_n_tokens": 2,
    "max_new_tokens": 3}}' | grep -c '"top_tokens":\[{"id":.*},{"id":.*}\]' | grep -qx 3
answers_with 400 POST /generate_stream -d '{"inputs": "x", "parameters": {
    "decoder_input_details": true}}'

# The best of several; the others are in its details.
call POST /generate -d '{"inputs": "The old man", "parameters": {"max_new_tokens": 4, "best_of": 4,
    "do_sample": true, "seed": 5, "details": true}}' | python3 -c '
import json, sys
answer = json.load(sys.stdin)
d = answer["details"]
all4 = d["best_of_sequences"] + [{**d, "generated_text": answer["generated_text"]}]
assert len({a["generated_text"] for a in all4}) > 1, all4
assert sorted(a["seed"] for a in all4) == [5, 6, 7, 8], all4
worth = [sum(t["logprob"] for t in a["tokens"]) / a["generated_tokens"] for a in all4]
assert max(worth) == worth[-1], worth
'
answers_with 400 POST /generate_stream -d '{"inputs": "x", "parameters": {"best_of": 2}}'

# Seeds have 64 bits without a sign, and come back as they were given; -1 is any.
for seed in 0 9223372036854775808 18446744073709551615; do
    ask="{\"inputs\": \"seed\\\":-1\", \"parameters\": {\"max_new_tokens\": 2, \"details\": true,
        \"do_sample\": true, \"return_full_text\": true, \"seed\": $seed}}"
    for route in /generate /generate_stream; do
        call POST $route -d "$ask" >"$WORK/seeded"
        grep -q "\"seed\":$seed[,}]" "$WORK/seeded" || fail "seed $seed: $(cat "$WORK/seeded")"
        grep -q 'generated_text":"seed\\":-1' "$WORK/seeded" || fail "$(cat "$WORK/seeded")"
    done
done
ask='{"prompt": "The", "seed": -1, "temperature": 2, "max_tokens": 12}'
[ "$(call POST /v1/completions -d "$ask" | sed 's/.*"text":"\([^"]*\)".*/\1/')" != \
    "$(call POST /v1/completions -d "$ask" | sed 's/.*"text":"\([^"]*\)".*/\1/')" ] ||
    fail "seed -1 draws the same twice"

# top_p 0 is the likeliest token alone, at any temperature and on every route.
text() { sed 's/.*"\(generated_\)\?text":"\([^"]*\)".*/\2/'; }
ask='"prompt": "The old man", "max_tokens": 6'
greedy=$(call POST /v1/completions -d "{$ask, \"temperature\": 0}" | text)
for temperature in 0 1 5; do
    [ "$(call POST /v1/completions -d "{$ask, \"temperature\": $temperature, \"top_p\": 0}" |
        text)" = "$greedy" ]
done
[ "$(call POST /generate -d '{"inputs": "The old man", "parameters": {"max_new_tokens": 6,
    "top_p": 0, "do_sample": true}}' | text)" = "$greedy" ]
[ "$(call POST '/v1/adapters/base/generate?max_tokens=6&temperature=2&top_p=0' -d 'The old man' |
    head -n 1)" = "$(printf '%b\n' "$greedy" | head -n 1)" ]
answers_with 400 POST /v1/completions -d "{$ask, \"top_p\": -0.1}"
