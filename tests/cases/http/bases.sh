# Three bases on a device with room for one large or two small ones: each answers as a daemon of
# its own does, they come when asked for and make way when idle, adapters train and answer
# on the base that config.json names, also after a restart; what cannot be is said.
. "$TEST_LIB/http.sh"
[ "$DEVICE" = cpu ] || skip "memory is counted on the cpu device"
base() { # NAME SEED: a small one
    "${PYTHON:-python3}" "$LF_SOURCE/tests/lib/random_checkpoint.py" "$WORK/$1" "$BASE" \
        --seed "$2" --hidden 64 --layers 2 --heads 4 --kv-heads 2 --inner 128 --vocab 4096
}
base two 2
base third 3
sizes=(--kv-tokens 2048 --train-tokens 512 --batch-tokens 256)
says() { # MODEL
    call POST /v1/completions \
        -d "{\"model\": \"$1\", \"prompt\": \"Item 1 is\", \"max_tokens\": 8, \"temperature\": 0}" |
        sed 's/.*"text": *\("[^"]*"\).*/\1/'
}
state_of() { # BASE
    call GET "/v1/bases/$1" | sed 's/.*"state": *"\([a-z]*\)".*/\1/'
}
state_is() { [ "$(state_of "$1")" = "$2" ]; }

# Each alone.
own=$BASE
declare -A alone
for name in base two third; do
    [ $name = base ] || BASE=$WORK/$name
    DATA=$WORK/data.$name
    mkdir "$DATA"
    serve "${sizes[@]}"
    alone[$name]=$(says $name)
    stop_daemon
done
[ "${alone[base]}" != "${alone[two]}" ] && [ "${alone[two]}" != "${alone[third]}" ]

# Together.
BASE=$own
DATA=$WORK/data.all
mkdir "$DATA"
together() { serve --base "$WORK/two" --base "three=$WORK/third" "${sizes[@]}" "$@"; }
together --memory 80MB
state_is base ready
state_is two absent
for name in two base three two three base two; do
    [ "$(says $name)" = "${alone[${name/three/third}]}" ] || fail "$name: $(says $name)"
done
state_is base absent # there is no room beside a small one
[ "$(metric bases_evicted_total)" -ge 4 ] || fail "$(metric bases_evicted_total) made way"
call GET /v1/models | grep -o '"id":"[a-z]*"' | tr '\n' ' ' |
    grep -qx '"id":"base" "id":"two" "id":"three" '
"$BIN/lorafs" status --url "$URL" | grep -q '^  seat 0: absent on .* of .* MB'
"$BIN/lorafs" top --url "$URL" --once | grep -q '^0 .*base, cpu.*away$'

# An adapter of the second base, made by its config.json alone; its base stays while it trains, and
# who asks for another one waits.
call POST /v1/adapters -d '{"name": "red"}' >/dev/null
answers_with 422 PUT /v1/adapters/red/files/config.json --data-binary '{"base": "four"}'
grep -q '\\"four\\"; this daemon has \\"base\\", \\"two\\" and \\"three\\"' "$WORK/body" ||
    fail "$(cat "$WORK/body")"
printf '%s, "base": "two"}' "$(settings 60 | sed 's/}$//')" >"$WORK/config.json"
put red config.json "$WORK/config.json" >/dev/null
rows 16 red >"$WORK/red.jsonl"
put red dataset.jsonl "$WORK/red.jsonl" '?train=1' >/dev/null
[ "$(says base)" = "${alone[base]}" ]
await red '^ready v1'
answers_with 422 PUT /v1/adapters/red/files/config.json --data-binary '{"base": "base"}'
grep -q 'this adapter is of \\"two\\"' "$WORK/body"
call GET /v1/models | grep -q '"id":"red",[^}]*"parent":"two"'
red=$(says red)
[ "$red" != "${alone[two]}" ] || fail "it has learnt nothing"
new_adapter blue 2 '"base": "three"'
call GET /v1/adapters/blue | grep -q '"base":"three"'
answers_with 400 POST /v1/adapters -d '{"name": "two"}'
stop_daemon

# One that is pinned stays, and so does the base of an adapter that is; not all can.
together --memory 96MB --pin red
state_is two ready
[ "$(says red)" = "$red" ]
[ "$(says base),$(says three)" = "${alone[base]},${alone[third]}" ]
state_is two ready
stop_daemon
refuses "$BIN/lorafsd" --base "$BASE" --base "$WORK/two" --data "$DATA" "${sizes[@]}" \
    --memory 80MB --pin base --device cpu
refused_with "the bases that stay"

# Weights that cannot be read are the trouble of their base alone, and come with the next try.
mv "$WORK/third/model-00001-of-00001.safetensors" "$WORK/away"
head -c 5000 "$WORK/away" >"$WORK/third/model-00001-of-00001.safetensors"
together --memory 80MB
answers_with 503 POST /v1/completions -d '{"model": "three", "prompt": "Item", "max_tokens": 2}'
grep -q 'the base three cannot be loaded: ' "$WORK/body" || fail "$(cat "$WORK/body")"
[ "$(says base),$(says red)" = "${alone[base]},$red" ]
call GET /health | grep -q '"degraded","problems":\["the base three cannot be loaded'
stop_daemon

# What could never be there, and names that clash.
refuses "$BIN/lorafsd" --base "$BASE" --base "$WORK/two" --data "$DATA" "${sizes[@]}" \
    --memory 40MB --device cpu
refused_with 'the base base, in 40 MiB of the device: '
refuses "$BIN/lorafsd" --base "$WORK/two" --base "$WORK/two" --data "$DATA" --device cpu
refused_with 'both called two'
refuses "$BIN/lorafsd" --base "a/b=$WORK/two" --data "$DATA" --device cpu
