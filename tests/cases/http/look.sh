# Rows are looked at without becoming an adapter's, and a version is asked by its number.
. "$TEST_LIB/http.sh"
serve
train task red
await task '^ready v1$'
{ rows 2 blue; echo '{}'; } >"$WORK/rows"
call POST '/v1/adapters/task/rows?first=1' --data-binary "@$WORK/rows" >"$WORK/look"
grep -q '"rows":2,.*"n_faults":1,"faults":\[{"place":3,' "$WORK/look"
grep -q '{"text":" blue<|endoftext|>","learnt":true}' "$WORK/look"
answers_with 400 POST '/v1/adapters/task/rows?first=101' -d ''
answers_with 404 POST /v1/adapters/nothing/rows -d ''
call POST /v1/adapters/task/rows -d '' | grep -q '"rows":0'
head -c 9000000 /dev/zero >"$WORK/large"
answers_with 413 POST /v1/adapters/task/rows --data-binary "@$WORK/large"
cmp <(call GET /v1/adapters/task/files/dataset.jsonl) "$WORK/task.jsonl"

rows 16 blue >"$WORK/blue"
call PUT /v1/adapters/task/files/config.json -d "$(settings 12)" >/dev/null
put task dataset.jsonl "$WORK/blue" '?train=1' >/dev/null
await task '^ready v2$'
says() { call POST /v1/completions -d "{\"model\": \"$1\", \"prompt\": \"Item 3 is\"}"; }
says task | grep -q '"text":" blue'
says task/1 | grep -q '"text":" red'
says task/2 | grep -q '"text":" blue'
answers_with 404 POST /v1/completions -d '{"model": "task/3", "prompt": "x"}'
answers_with 404 POST /v1/completions -d '{"model": "task/x", "prompt": "x"}'
answers_with 404 POST /v1/completions -d '{"model": "none/1", "prompt": "x"}'
