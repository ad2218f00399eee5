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
