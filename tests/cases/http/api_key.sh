# With a key, every route but the open ones wants it.
. "$TEST_LIB/http.sh"
printf 'sesame\nnot this\n' >"$WORK/key"
serve --api-key-file "$WORK/key" --train-tokens 0
answers_with 200 GET /health
answers_with 401 GET /v1/tree
grep -q '"code":"denied"' "$WORK/body"
for key in '' sesam sesame2 'not this' sesamesesame; do
    answers_with 401 GET /v1/adapters -H "Authorization: Bearer $key"
done
answers_with 401 PUT /v1/adapters/x/files/prompt -d x
answers_with 200 GET /v1/tree -H 'Authorization: Bearer sesame'
for scheme in bearer BEARER 'Bearer  '; do
    answers_with 200 GET /v1/tree -H "Authorization: $scheme sesame"
done
for header in 'Bearersesame' 'Basic sesame' 'sesame' 'Bearer' 'bearer sesam'; do
    answers_with 401 GET /v1/tree -H "Authorization: $header"
done
answers_with 401 POST /v1/load_lora_adapter -d '{"lora_name": "x", "lora_path": "/"}'
answers_with 403 POST /v1/load_lora_adapter -d '{"lora_name": "x", "lora_path": "/"}' \
    -H 'Authorization: Bearer sesame'
[ "$(stat -c %a "$SOCK")" = 600 ]
