# --base org/name: taken from the cache of Hugging Face's libraries, or pulled into it as they would
# have done; served under the repository's name.
. "$TEST_LIB/http.sh"
mkdir -p "$WORK/hub/org"
cp -r "$BASE" "$WORK/hub/org/tiny"
unset HF_HUB_OFFLINE HF_TOKEN HF_ENDPOINT HF_HUB_CACHE HUGGINGFACE_HUB_CACHE
unset http_proxy https_proxy all_proxy
export no_proxy='*' HF_HOME=$WORK/hf
"${PYTHON:-python3}" "$LF_SOURCE/tests/lib/hub_server.py" "$WORK/hub" "$WORK/port" \
    >"$WORK/requests" 2>"$WORK/hub.log" &
HUB=$!
wait_until 60 test -s "$WORK/port" || fail "no hub"
HF_ENDPOINT=http://127.0.0.1:$(cat "$WORK/port")
export HF_ENDPOINT
repo=$HF_HOME/hub/models--org--tiny

# Pulled once: blobs by their digest, a snapshot of links, a ref.
line='{"text": "Hello"}'
echo "$line" | "$BIN/lorafs" tokenize --base "$BASE" >"$WORK/plain"
echo "$line" | "$BIN/lorafs" tokenize --base org/tiny | cmp - "$WORK/plain"
commit=$(cat "$repo/refs/main")
snapshot=$repo/snapshots/$commit
[ ${#commit} = 40 ]
cmp "$snapshot/model.safetensors" "$BASE/model.safetensors"
digest=$(sha256sum "$BASE/model.safetensors" | cut -d ' ' -f 1)
[ "$(readlink "$snapshot/model.safetensors")" = "../../blobs/$digest" ]
[ -L "$snapshot/config.json" ] && cmp "$snapshot/config.json" "$BASE/config.json"
[ -z "$(find "$repo" -name '*.part' -o -name '*.link')" ]

# Then nothing is asked, whether a hub is there or not; also of a commit, and of another name of it.
end_process "$HUB"
: >"$WORK/requests"
for name in org/tiny org/tiny@main "org/tiny@$commit"; do
    echo "$line" | "$BIN/lorafs" tokenize --base "$name" | cmp - "$WORK/plain"
done
[ ! -s "$WORK/requests" ]
BASE=org/tiny serve
call GET /v1/models | grep -c '"id":"tiny"'
stop_daemon
echo "$line" | HF_HUB_CACHE=$HF_HOME/hub HF_HOME=/nonexistent "$BIN/lorafs" tokenize \
    --base org/tiny | cmp - "$WORK/plain"

# A part of a repository is not taken for it; what is not there is named.
rm "$snapshot/model.safetensors"
refuses "$BIN/lorafs" tokenize --base org/tiny </dev/null
refused_with 'no directory org/tiny, and at the hub'
HF_HUB_OFFLINE=1 refuses "$BIN/lorafs" tokenize --base org/tiny </dev/null
refused_with 'HF_HUB_OFFLINE'
refuses "$BIN/lorafs" tokenize --base ./org/tiny </dev/null
refused_with 'no tokenizer.json'
mkdir -p "$WORK/here/org" && cp -r "$WORK/hub/org/tiny" "$WORK/here/org/"
cd "$WORK/here" # a directory goes first
echo "$line" | HF_HUB_OFFLINE=1 "$BIN/lorafs" tokenize --base org/tiny | cmp - "$WORK/plain"
