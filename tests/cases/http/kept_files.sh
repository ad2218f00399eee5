# Files, batches and fine-tunings are their key's where it is for some adapters alone; what is no
# form is refused and leaves nothing; what has expired goes.
. "$TEST_LIB/http.sh"
serve
rows 4 red >"$WORK/rows"
send() { call POST /v1/files -F purpose="$1" -F "file=@$WORK/rows;filename=../$1.jsonl" "${@:2}"; }
id_of() { sed 's/.*"id":"\([a-z]*[-_][0-9a-f]*\)".*/\1/'; }
kept() { find "$DATA/documents" "$DATA/incoming" -type f | wc -l; }

# Forms
mime='Content-Type: multipart/form-data; boundary=xx'
part() { printf -- '--xx\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' "$@"; }
form() { part purpose '' batch && part file '; filename="f"' "$1" && echo -n "${2---xx--}"; }
answers_with 400 POST /v1/files -d '{}'
answers_with 400 POST /v1/files -H 'Content-Type: multipart/form-data' --data-binary x
answers_with 400 POST /v1/files -H "$mime" --data-binary ''
form abc '' | head -c 100 | answers_with 400 POST /v1/files -H "$mime" --data-binary @-
part purpose '' batch | answers_with 400 POST /v1/files -H "$mime" --data-binary @-
(part what '' x && form abc) | answers_with 400 POST /v1/files -H "$mime" --data-binary @-
grep -q '\\"what\\"' "$WORK/body" || fail "$(cat "$WORK/body")"
answers_with 400 POST /v1/files -F purpose=vision -F file=x
answers_with 400 POST /v1/files -F purpose=batch -F file=x -F file=y
answers_with 400 POST /v1/files -F purpose="$(printf 'x%.0s' {1..100})" -F file=x
answers_with 400 POST /v1/files -F purpose=batch -F "file=x;filename=$(printf 'x%.0s' {1..300})"
[ "$(kept)" = 0 ] || fail "something is left of them"
form abc | answers_with 200 POST /v1/files -H "$mime" --data-binary @-
form abc | gzip | answers_with 200 POST /v1/files -H "$mime" -H 'Content-Encoding: gzip' \
    --data-binary @-
call GET "/v1/files/$(id_of <"$WORK/body")/content" | grep -qx abc
answers_with 404 GET /v1/files/..%2f..%2fkeys.json
answers_with 400 GET '/v1/files?limit=0'
answers_with 400 GET '/v1/files?order=up'
answers_with 404 GET '/v1/files?after=file-0'

# Expiry
file=$(send batch -F 'expires_after[anchor]=created_at' -F 'expires_after[seconds]=3600' | id_of)
sed -i 's/"expires_at":[0-9]*/"expires_at":1/' "$DATA/documents/$file.json"
call GET /v1/files | grep -q "$file" && fail "an expired file is listed"
[ ! -e "$DATA/documents/$file.bytes" ] || fail "its bytes are there"

# Keys
key() { "$BIN/lorafs" key "$@" --data "$DATA"; }
auth() { echo "Authorization: Bearer $1"; }
key add all --role train >"$WORK/all"
mine=$(auth "$(key add ci --role train --adapter 'mine-*' --adapter base)")
all=$(auth "$(cat "$WORK/all")")
theirs=$(send fine-tune -H "$all" | id_of)
own=$(send fine-tune -H "$mine" | id_of)
answers_with 404 GET "/v1/files/$theirs/content" -H "$mine"
answers_with 404 DELETE "/v1/files/$theirs" -H "$mine"
answers_with 200 GET "/v1/files/$own/content" -H "$all"
call GET /v1/files -H "$mine" | grep -q "$theirs" && fail "others' files are listed"
tune() { # HEADER FILE SUFFIX
    status_code POST /v1/fine_tuning/jobs -H "$1" -d "{\"model\": \"base\",
        \"training_file\": \"$2\", \"suffix\": \"$3\", \"hyperparameters\": {\"n_epochs\": 1}}"
}
[ "$(tune "$mine" "$theirs" mine-a)" = 404 ]
[ "$(tune "$mine" "$own" other)" = 403 ]
[ "$(tune "$all" "$own" other)" = 200 ]
job=$(id_of <"$WORK/body")
answers_with 403 GET "/v1/fine_tuning/jobs/$job" -H "$mine"
answers_with 403 POST "/v1/fine_tuning/jobs/$job/cancel" -H "$mine"
call GET /v1/fine_tuning/jobs -H "$mine" | grep -q "$job" && fail "others' jobs are listed"
[ "$(tune "$mine" "$own" mine-a)" = 200 ]

# A batch has its key's rights, and those that are revoked are none.
ask='"method": "POST", "url": "/v1/completions"'
call GET /v1/adapters -H "$all" >"$WORK/adapters"
other=$(grep -o 'other-[0-9a-f]*' "$WORK/adapters" | head -n 1)
for model in base "$other"; do
    echo "{\"custom_id\": \"$model\", $ask, \"body\": {\"model\": \"$model\", \"prompt\": \"x\"}}"
done >"$WORK/rows"
file=$(send batch -H "$mine" | id_of)
batch=$(call POST /v1/batches -H "$mine" -d "{\"input_file_id\": \"$file\",
    \"endpoint\": \"/v1/completions\", \"completion_window\": \"1h\"}" | id_of)
batch_is() { call GET "/v1/batches/$batch" -H "$all" | grep -q "\"status\":\"$1\""; }
wait_until 60 batch_is completed || fail "$(call GET "/v1/batches/$batch" -H "$all")"
call GET "/v1/batches/$batch" -H "$mine" >"$WORK/batch"
grep -q '"completed":1,"failed":1' "$WORK/batch"
errors=$(sed 's/.*"error_file_id":"\([^"]*\)".*/\1/' "$WORK/batch")
call GET "/v1/files/$errors/content" -H "$mine" >"$WORK/errors"
grep -q "\"custom_id\":\"$other\".*\"status_code\":403" "$WORK/errors"
key revoke ci
answers_with 401 GET /v1/batches -H "$mine"
grep -q '"who":"key:ci","what":"POST /v1/batches","status":200' "$DATA/audit.jsonl"
grep -q '"what":"POST /v1/files","status":400' "$DATA/audit.jsonl"
stop_daemon
"$BIN/lorafs" fsck "$DATA"
