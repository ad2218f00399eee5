# "from" goes on with a version, an import or another adapter's; what does not fit is refused by
# name; the version says where it came from, and `lorafs diff` what two of them differ in.
. "$TEST_LIB/http.sh"
serve
lorafs() { "$BIN/lorafs" "$@"; }
export LORAFS_URL=$URL
rows 8 red >"$WORK/rows.jsonl"
config() { # FROM [MEMBERS]
    echo "{\"alpha\": 8, \"batch_size\": 2, \"max_length\": 32, \"learning_rate\": 1e-9," \
        "\"steps\": 1, \"from\": \"$1\"${2:+, $2}}"
}
first_loss() { # ADAPTER/VERSION
    call GET "/v1/adapters/${1%/*}/files/versions/${1#*/}/log" |
        sed -n 's/.*"event":"step","step":1,.*"loss":\([0-9.e-]*\).*/\1/p'
}

train one red 12
await one '^ready v1'
new_adapter two 1
put two dataset.jsonl "$WORK/rows.jsonl" >/dev/null
config one >"$WORK/config.json"
put two config.json "$WORK/config.json" >/dev/null
call POST /v1/adapters/two/ctl -d train >/dev/null
await two '^ready v1'
# It begins where the other one ended, which knew the answer.
loss=$(first_loss two/1)
"${PYTHON:-python3}" -c 'import sys; assert float(sys.argv[1]) < 1.5' "$loss" || fail "$loss"
call GET /v1/adapters/two/files/versions/1/metrics.json | tr -d '\n' |
    grep -c '"parent": { *"adapter": "one", *"version": 1, *"sha256": "[0-9a-f]\{64\}"'
call GET /v1/adapters/two/files/versions/1/metrics.json | grep -c '"code": "[0-9.]* ([0-9a-f]*'
call GET /v1/adapters/two/files/versions/1/metrics.json | grep -c '"memory_bytes": [0-9]'
call GET /v1/adapters/two/files/versions/1/config.json | grep -c '"alpha": 32' # as its start has it
call GET /v1/adapters/two/files/versions/1/loss.svg | grep -c '^<svg'

refused_from() { # FROM MEMBERS REASON
    config "$1" "$2" >"$WORK/config.json"
    put two config.json "$WORK/config.json" >/dev/null
    answers_with 400 POST /v1/adapters/two/ctl -d train
    grep -qF "$3" "$WORK/body" || fail "$1: $(cat "$WORK/body")"
}
refused_from 7 '' '\"from\": 7: two has no version 7'
refused_from one/1x '' 'one has no version 1x'
refused_from one/4294967297 '' 'one has no version 4294967297'
refused_from import '' 'nothing was imported into two'
refused_from one/1 '"rank": 8' 'its rank is 4, \"rank\" is 8'
refused_from one '"target_modules": ["q_proj"]' 'which \"target_modules\" has not'
answers_with 200 GET /v1/adapters/two/files/versions/1/config.json # it serves as before

# An import, and then its own version, by their names.
lorafs export one "$WORK/peft" >/dev/null
lorafs cp "$WORK/peft/adapter_config.json" two:adapter/ >/dev/null
lorafs cp "$WORK/peft/adapter_model.safetensors" two:adapter/ >/dev/null
await two '^ready v2'
for from in import 2 current; do
    config "$from" "\"seed\": ${#from}" >"$WORK/config.json"
    put two config.json "$WORK/config.json" >/dev/null
    call POST /v1/adapters/two/ctl -d train >/dev/null
    lorafs wait two >/dev/null 2>&1
done
await two '^ready v5'
for n in 3 4; do
    call GET "/v1/adapters/two/files/versions/$n/metrics.json" | tr -d '\n' |
        grep -c '"parent": { *"adapter": "two", *"version": 2,'
done

lorafs diff one two/4 | tee "$WORK/diff"
grep -c '^  seed  *42  *1$' "$WORK/diff"
grep -c '^  train.steps  *12  *1$' "$WORK/diff"
lorafs diff --json two/3 two | grep -c '"version": 4'
grep -q alpha "$WORK/diff" && fail "alpha is the same"
refuses lorafs diff one two/9
