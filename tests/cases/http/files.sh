# Files by HTTP: what is put reads back, whole and in ranges; what is refused is named and leaves
# the old.
. "$TEST_LIB/http.sh"
serve --train-tokens 0

new_adapter task
printf '0123456789' >"$WORK/prompt"
put task prompt "$WORK/prompt"
[ "$(call GET /v1/adapters/task/files/prompt)" = 0123456789 ]
[ "$(call GET /v1/adapters/task/files/prompt -H 'Range: bytes=3-5')" = 345 ]
[ "$(call GET /v1/adapters/task/files/prompt -H 'Range: bytes=-2')" = 89 ]
answers_with 206 GET /v1/adapters/task/files/prompt -H 'Range: bytes=8-100'
answers_with 416 GET /v1/adapters/task/files/prompt -H 'Range: bytes=10-'
curl -sSI "$URL/v1/adapters/task/files/prompt" | grep -qi '^content-length: 10'

# Its tag is of these bytes, and not of others.
TAG=$(curl -sSI "$URL/v1/adapters/task/files/prompt" | sed -n 's/^etag: *\(".*"\).*/\1/pI')
answers_with 206 GET /v1/adapters/task/files/prompt -H "If-Match: $TAG" -H 'Range: bytes=3-5'
answers_with 206 GET /v1/adapters/task/files/prompt -H "If-Range: $TAG" -H 'Range: bytes=3-5'
answers_with 304 GET /v1/adapters/task/files/prompt -H "If-None-Match: \"x\", $TAG"
printf 'abcdefghij' >"$WORK/prompt"
put task prompt "$WORK/prompt"
# Who has begun to read them goes on; who has not is told.
[ "$(call GET /v1/adapters/task/files/prompt -H "If-Match: $TAG" -H 'Range: bytes=6-')" = 6789 ]
answers_with 412 GET /v1/adapters/task/files/prompt -H "If-Match: ${TAG/-/0}"
answers_with 412 GET /v1/adapters/task/files/prompt -H 'If-Match: "x"' -H 'Range: bytes=3-5'
call GET /v1/adapters/task/files/prompt -H "If-Range: $TAG" -H 'Range: bytes=3-5' |
    cmp - "$WORK/prompt"
[ "$(call GET /v1/adapters/task/files/prompt -H "If-None-Match: $TAG")" = abcdefghij ]
# Nor are they anybody else's.
new_adapter none
put none prompt "$WORK/prompt" >/dev/null
answers_with 412 GET /v1/adapters/none/files/prompt -H "If-Match: $TAG"
call DELETE /v1/adapters/none >/dev/null
printf '0123456789' >"$WORK/prompt"

# Who would replace or remove what he has read does so where nobody else was first.
tag_of() { curl -sSI "$URL/v1/adapters/task/files/prompt" | sed -n 's/^etag: *\(".*"\).*/\1/pI'; }
answers_with 412 PUT /v1/adapters/task/files/prompt -H "If-Match: $TAG" -d lost
answers_with 412 PUT /v1/adapters/task/files/prompt -H 'If-None-Match: *' -d lost
answers_with 412 PUT /v1/adapters/task/files/template -H 'If-Match: *' -d '{lost}'
answers_with 412 DELETE /v1/adapters/task/files/prompt -H "If-Match: $TAG"
[ "$(call GET /v1/adapters/task/files/prompt)" = abcdefghij ]
TAG=$(tag_of)
answers_with 200 PUT /v1/adapters/task/files/prompt -H "If-Match: $TAG" -d 0123456789
for i in 1 2 3 4 5 6; do
    status_code PUT /v1/adapters/task/files/prompt -H "If-Match: $(tag_of)" -d 0123456789 \
        >"$WORK/code.$i"
done
[ "$(cat "$WORK"/code.* | grep -o 200 | wc -l)" = 6 ]
TAG=$(tag_of)
for i in 1 2 3 4 5 6; do
    curl -sS -X PUT -o /dev/null -w '%{http_code}\n' -H "If-Match: $TAG" -d "$i" \
        "$URL/v1/adapters/task/files/prompt" >"$WORK/code.$i" &
    puts[i]=$!
done
wait "${puts[@]}"
[ "$(cat "$WORK"/code.* | sort | uniq -c | tr -s ' \n' ' ')" = ' 1 200 5 412 ' ] ||
    fail "of six who replaced the same: $(cat "$WORK"/code.*)"
answers_with 200 DELETE /v1/adapters/task/files/prompt -H "If-Match: $(tag_of)"
answers_with 200 PUT /v1/adapters/task/files/prompt -H 'If-None-Match: *' -d 0123456789
answers_with 422 PUT /v1/adapters/task/files/prompt -H 'Content-Range: bytes 0-3/10' -d part
grep -q 'uploads' "$WORK/body"
[ "$(call GET /v1/adapters/task/files/prompt)" = 0123456789 ]

# A switch is on or off, in any client's words.
rows 4 red >"$WORK/rows"
new_adapter switch
switch=/v1/adapters/switch/files/dataset.jsonl
answers_with 422 PUT "$switch?train=yes" --data-binary "@$WORK/rows"
grep -q 'train.* must be true or false' "$WORK/body"
answers_with 404 GET $switch
call PUT "$switch?train=False" --data-binary "@$WORK/rows" | grep -q '"queued":false'
call PUT "$switch?train=True" --data-binary "@$WORK/rows" | grep -q '"queued":true'
call DELETE /v1/adapters/switch >/dev/null

# Text is UTF-8.
for bytes in '\xff\xfeh\0i\0' 'caf\xe9' 'a\0b' 'half \xc3'; do
    printf "$bytes" >"$WORK/odd"
    answers_with 422 PUT /v1/adapters/task/files/prompt --data-binary "@$WORK/odd"
    grep -Eq 'UTF-8|NUL' "$WORK/body" || fail "$bytes: $(cat "$WORK/body")"
done
printf 'caf\xc3\xa9' >"$WORK/odd"
answers_with 200 PUT /v1/adapters/task/files/prompt --data-binary "@$WORK/odd"
printf '0123456789' >"$WORK/prompt"
put task prompt "$WORK/prompt"

answers_with 404 GET /v1/adapters/task/files/dataset.jsonl
answers_with 404 GET /v1/adapters/task/files/../../state/data.mdb --path-as-is
answers_with 404 GET /v1/adapters/task/files/%2e%2e/%2e%2e/state/data.mdb
answers_with 404 GET /v1/adapters/none/files/prompt
answers_with 403 PUT /v1/adapters/task/files/log -d x
answers_with 403 DELETE /v1/adapters/task/files/log
answers_with 405 POST /v1/adapters/task/files/prompt -d x
grep -q '"code":"unsupported"' "$WORK/body"

# In parts: what had come when the connection broke is gone on with, and taken in once.
rows 40 blue >"$WORK/parts"
sum=$(sha256sum <"$WORK/parts" | cut -d ' ' -f 1)
uploads=/v1/adapters/task/uploads
answers_with 404 GET $uploads/one
answers_with 404 PUT "$uploads/one?at=7" -d x
answers_with 400 PUT "$uploads/o%20ne" -d x
head -c 1000 "$WORK/parts" | call PUT $uploads/one --data-binary @- | grep -q '"bytes":1000'
answers_with 409 PUT "$uploads/one?at=999" -d x
"${PYTHON:-python3}" -c 'import socket, sys
s = socket.create_connection(sys.argv[1].rsplit(":", 1))
s.sendall(b"PUT /v1/adapters/task/uploads/one?at=1000 HTTP/1.1\r\nHost: localhost\r\n"
          b"Content-Length: 100000\r\n\r\n" + open(sys.argv[2], "rb").read()[1000:1500])
s.close()' "$ADDRESS" "$WORK/parts"
has_more() { call GET $uploads/one | grep -q '"bytes":1500'; }
wait_until 10 has_more || fail "what came before the cut is gone"
answers_with 422 PUT "/v1/adapters/task/files/dataset.jsonl?upload=one" -d ''
tail -c +1501 "$WORK/parts" | call PUT "$uploads/one?at=1500" --data-binary @- >/dev/null
claim="/v1/adapters/task/files/dataset.jsonl?upload=one&sha256=$sum"
call PUT "$claim" >"$WORK/first"
call GET /v1/adapters/task/files/dataset.jsonl | cmp - "$WORK/parts"
call PUT "$claim" | cmp - "$WORK/first"
answers_with 404 GET $uploads/one
call PUT $uploads/two --data-binary "@$WORK/prompt" >/dev/null
answers_with 422 PUT "/v1/adapters/task/files/dataset.jsonl?upload=two&sha256=$sum"
answers_with 404 PUT "/v1/adapters/task/files/dataset.jsonl?upload=two&sha256=$sum"
call GET /v1/adapters/task/files/dataset.jsonl | cmp - "$WORK/parts"
call DELETE /v1/adapters/task/files/dataset.jsonl >/dev/null
[ -z "$(ls "$DATA/incoming")" ]

# Line 2 is broken: 422 names it, `status` names it, the first data set is still there.
rows 3 red >"$WORK/good"
put task dataset.jsonl "$WORK/good"
{ rows 1 red; echo '{"prompt": "x"'; rows 1 red; } >"$WORK/bad"
answers_with 422 PUT /v1/adapters/task/files/dataset.jsonl --data-binary "@$WORK/bad"
grep -q 'line 2' "$WORK/body"
[ "$(status_line task | grep -c '^failed: dataset.jsonl: line 2')" = 1 ]
call GET /v1/adapters/task/files/dataset.jsonl | cmp - "$WORK/good"
put task dataset.jsonl "$WORK/good"
[ "$(status_line task)" = empty ]

for config in '{"rank": 0}' '{"rank": "x"}' '{"nonsense": 1}' '[]' '{' '' '{"base": "other"}'; do
    answers_with 422 PUT /v1/adapters/task/files/config.json --data-binary "$config"
done

# The generation tells whether the tree changed.
generation=$(call GET /v1/tree | sed 's/.*"generation":\([0-9]*\).*/\1/')
answers_with 304 GET "/v1/tree?since=$generation"
put task prompt "$WORK/prompt" >/dev/null
answers_with 200 GET "/v1/tree?since=$generation"

call POST /v1/adapters/task/rename -d '{"to": "other"}' >/dev/null
answers_with 404 GET /v1/adapters/task
new_adapter task
answers_with 409 POST /v1/adapters/task/rename -d '{"to": "other"}'
call DELETE /v1/adapters/task >/dev/null
answers_with 404 DELETE /v1/adapters/task

# A killed daemon has it all.
kill_daemon
serve --train-tokens 0
call GET /v1/adapters/other/files/dataset.jsonl | cmp - "$WORK/good"
