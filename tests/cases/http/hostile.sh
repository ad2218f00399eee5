# Bytes that no client of ours sends: each gets a clear answer or a closed connection, and the
# daemon answers the next one.
. "$TEST_LIB/http.sh"
serve --train-tokens 0
new_adapter task
py hostile.py
answers_with 200 GET /health
[ "$(metric http_requests_active)" = 1 ]
[ -z "$(ls "$DATA/incoming")" ] || fail "uploads are left over"
