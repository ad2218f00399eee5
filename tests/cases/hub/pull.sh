# `lorafs pull`: whole or not at all, goes on where it was, checks what comes, keeps the token home.
. "$TEST_LIB/common.sh"
lorafs=$BIN/lorafs
mkdir -p "$WORK/hub/org"
cp -r "$BASE" "$WORK/hub/org/base"
weights=$(stat -c %s "$BASE/model.safetensors")
unset HF_TOKEN HF_ENDPOINT http_proxy https_proxy all_proxy
export HF_ENDPOINT no_proxy='*'

# hub [OPTION...]: a hub, in place of the one before; $WORK/requests is its log.
HUB=
hub() {
    [ -z "$HUB" ] || end_process "$HUB"
    rm -f "$WORK/port"
    "${PYTHON:-python3}" "$LF_SOURCE/tests/lib/hub_server.py" "$WORK/hub" "$WORK/port" "$@" \
        >"$WORK/requests" 2>"$WORK/hub.log" &
    HUB=$!
    wait_until 60 test -s "$WORK/port" || fail "no hub"
    HF_ENDPOINT=http://127.0.0.1:$(cat "$WORK/port")
}

requested() { grep -q "$1" "$WORK/requests" || fail "no request $1: $(cat "$WORK/requests")"; }

# is_whole DIR: all that a pull fetches, where it is from, and nothing else.
is_whole() {
    diff -r -x SOURCES.md -x lorafs-source.json "$BASE" "$1" || fail "$1 is not what the hub has"
    [ ! -e "$1/SOURCES.md" ] || fail "a file came that no one reads"
}

# no_checkpoint DIR: what a failed pull leaves is not taken for one.
no_checkpoint() {
    [ ! -e "$1/config.json" ] || fail "$1 looks whole"
    refuses "$lorafs" generate --base "$1" --prompt x --max-tokens 1
}

# Fresh; a second time nothing is fetched; a file that was damaged since is fetched again.
hub
[ "$("$lorafs" pull org/base --out "$WORK/fresh")" = "$WORK/fresh" ]
is_whole "$WORK/fresh"
refuses grep -q 'pytorch_model\|SOURCES\| token$' "$WORK/requests"
: >"$WORK/requests"
"$lorafs" pull org/base@main --out "$WORK/fresh" >/dev/null
refuses grep -q resolve "$WORK/requests"
printf x | dd of="$WORK/fresh/tokenizer.json" bs=1 seek=9 conv=notrunc status=none
"$lorafs" pull org/base --out "$WORK/fresh" >/dev/null
[ "$(grep -c resolve "$WORK/requests")" = 1 ]
is_whole "$WORK/fresh"
"$lorafs" generate --base "$WORK/fresh" --prompt 'Once upon a time' --max-tokens 2 >/dev/null
cd "$WORK"
"$lorafs" pull org/base >/dev/null
is_whole base
"$lorafs" pull org/base --list | grep -q "^\* *$weights  model.safetensors"
refuses "$lorafs" pull org/missing --out "$WORK/none"
refused_with 'no such repository'
refuses "$lorafs" pull ../base --out "$WORK/none"
[ ! -e "$WORK/none" ]

# --endpoint goes before HF_ENDPOINT; a hub that is not there is named.
there=$HF_ENDPOINT
HF_ENDPOINT=http://127.0.0.1:9 "$lorafs" pull org/base --endpoint "$there/" --list >/dev/null
HF_ENDPOINT=http://127.0.0.1:9 refuses "$lorafs" pull org/base --out "$WORK/none"
refused_with 'http://127.0.0.1:9'

# A connection that is cut is taken up again where it broke.
hub --cut 300000
"$lorafs" pull org/base --out "$WORK/cut" >/dev/null
requested 'storage.*bytes=300000-'
is_whole "$WORK/cut"

# So is a pull that was killed, or stopped.
for signal in KILL INT; do
    hub --stall 300000
    "$lorafs" pull org/base --out "$WORK/$signal" >/dev/null 2>"$WORK/err" &
    pull=$!
    half() { [ "$(stat -c %s "$WORK/$signal/model.safetensors.part")" -gt 200000 ]; }
    wait_until 60 half || fail "nothing arrives"
    kill "-$signal" "$pull"
    if wait "$pull"; then
        fail "a pull that is cut off ends well"
    fi
    no_checkpoint "$WORK/$signal"
    at=$(stat -c %s "$WORK/$signal/model.safetensors.part")
    hub
    "$lorafs" pull org/base --out "$WORK/$signal" >/dev/null
    requested "storage.*bytes=$at-"
    is_whole "$WORK/$signal"
done
grep -q 'goes on from here' "$WORK/err" || fail "$(cat "$WORK/err")"

# What is not what the hub's digest says is refused: large files (SHA-256), small ones (blob ids).
for file in model.safetensors tokenizer.json config.json; do
    hub --wrong $file
    refuses "$lorafs" pull org/base --out "$WORK/wrong-$file"
    refused_with "$file: its .* the hub says"
    no_checkpoint "$WORK/wrong-$file"
    [ ! -e "$WORK/wrong-$file/$file" ] && [ ! -e "$WORK/wrong-$file/$file.part" ] ||
        fail "$file is kept"
done
hub
"$lorafs" pull org/base --out "$WORK/wrong-config.json" >/dev/null
[ "$(grep -c resolve "$WORK/requests")" = 1 ] || fail "what was right is fetched again"
is_whole "$WORK/wrong-config.json"

# The token goes to the hub, never to the host that it redirects to.
hub --token sesame
refuses "$lorafs" pull org/base --out "$WORK/none"
refused_with 'HF_TOKEN'
HF_TOKEN=wrong refuses "$lorafs" pull org/base --out "$WORK/none"
[ ! -e "$WORK/none" ]
HF_TOKEN=sesame "$lorafs" pull org/base --out "$WORK/gated" >/dev/null
is_whole "$WORK/gated"
requested 'resolve.* token$'
requested 'storage.* -$'
refuses grep -q 'storage.* token$' "$WORK/requests" || fail "the token went to the storage"
refuses grep -rq sesame "$WORK/gated"
