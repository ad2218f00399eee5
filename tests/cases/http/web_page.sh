# Without a key, a web page in the browser of someone on this machine reaches nothing.
. "$TEST_LIB/http.sh"
serve --train-tokens 0
call POST /v1/adapters -d '{"name": "x"}' >/dev/null
port=${ADDRESS##*:}
answers_with 401 GET /v1/tree -H 'Host: evil.example' # its name server says 127.0.0.1
answers_with 401 GET /v1/tree -H "Host: evil.example:$port"
answers_with 401 DELETE /v1/adapters/x -H 'Origin: http://evil.example'
answers_with 401 POST /v1/adapters -H 'Origin: null' -H 'Content-Type: text/plain' \
    -d '{"name": "y"}'
answers_with 200 GET /health -H 'Host: evil.example'
answers_with 200 GET /v1/adapters/x -H "Host: localhost:$port" -H 'Origin: http://localhost:3000'
answers_with 200 GET /v1/tree -H "Origin: $URL"
# A NUL ends no name.
answers_with 404 DELETE /v1/adapters/x%00y
answers_with 200 GET /v1/adapters/x
stop_daemon
printf 'sesame\n' >"$WORK/key"
serve --api-key-file "$WORK/key" --train-tokens 0
answers_with 200 GET /v1/tree -H 'Host: gpu.example' -H 'Origin: https://app.example' \
    -H 'Authorization: Bearer sesame'
