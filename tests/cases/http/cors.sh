# A page that may ask can read the answers: of this machine, or of --cors; preflights need no key.
. "$TEST_LIB/http.sh"
printf 'sesame\n' >"$WORK/key"
app=(-H 'Origin: https://app.example')
preflight=(-H 'Access-Control-Request-Method: PUT' -H 'Access-Control-Request-Headers: x-a')
allows() { grep -qi "^access-control-allow-origin: $1" "$WORK/head" || fail "$(cat "$WORK/head")"; }
serve --train-tokens 0
for origin in http://localhost:3000 http://127.0.0.1:5173 "$URL"; do
    answers_with 200 GET /v1/models -H "Origin: $origin" -D "$WORK/head"
    allows "$origin"
    grep -qi '^vary: origin' "$WORK/head"
    answers_with 204 OPTIONS /v1/chat/completions -H "Origin: $origin" "${preflight[@]}" \
        -D "$WORK/head"
    allows "$origin"
    grep -qi '^access-control-allow-methods:.*PUT' "$WORK/head"
    grep -qi '^access-control-allow-headers:.*Authorization' "$WORK/head"
done
# Errors can be read, too; a page that may not ask is told nothing.
answers_with 404 GET /v1/models/none -H 'Origin: http://localhost:3000' -D "$WORK/head"
allows http://localhost:3000
answers_with 401 GET /v1/models "${app[@]}" -D "$WORK/head"
refuses grep -qi '^access-control-allow' "$WORK/head"
answers_with 405 OPTIONS /v1/models "${app[@]}" "${preflight[@]}"
answers_with 405 OPTIONS /v1/models

end_process "$DAEMON"
serve --train-tokens 0 --api-key-file "$WORK/key" --cors https://b.example,https://app.example
answers_with 204 OPTIONS /v1/models "${app[@]}" "${preflight[@]}" -d 'a body'
answers_with 401 GET /v1/models "${app[@]}"
answers_with 200 GET /v1/models "${app[@]}" -H 'Authorization: Bearer sesame' -D "$WORK/head"
allows https://app.example
