# Too many at once: 429 with Retry-After, and those that wait are answered all the same.
. "$TEST_LIB/http.sh"
serve --kv-tokens 2048
py overload.py
wait_until 30 is_idle || fail "something still runs"
[ "$(metric refused_total)" -gt 0 ]
call POST /v1/completions -d '{"prompt": "Still", "max_tokens": 2}' >/dev/null
