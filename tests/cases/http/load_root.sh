# Adapters are loaded from below --load-root alone: no link, no "..", no FIFO leads elsewhere.
. "$TEST_LIB/http.sh"
serve
train task blue
await task 'ready v1'
mkdir -p "$WORK/root/good" "$WORK/outside" "$WORK/root/linked" "$WORK/root/pipe"
for file in adapter_config.json adapter_model.safetensors; do
    call GET "/v1/adapters/task/files/adapter/$file" >"$WORK/root/good/$file"
    cp "$WORK/root/good/$file" "$WORK/outside/"
    ln -s "../good/$file" "$WORK/root/linked/$file" # as the hub's cache has them
done
stop_daemon
serve --load-root "$WORK/root" --train-tokens 0
load() { echo "{\"lora_name\": \"$1\", \"lora_path\": \"$2\"}"; }
post() { answers_with "$1" POST /v1/load_lora_adapter -d "$(load "$2" "$3")"; }
post 200 one "$WORK/root/good"
post 200 two "$WORK/root/linked"
post 403 x "$WORK/outside"
post 403 x "$WORK/root/../outside"
post 403 x "$WORK/rootx"
post 403 x /etc
post 404 x "$WORK/root/nowhere"
ln -s "$WORK/outside" "$WORK/root/away"
post 403 x "$WORK/root/away"
mkdir "$WORK/root/half"
cp "$WORK/root/good/adapter_model.safetensors" "$WORK/root/half/"
echo 'secret-token' >"$WORK/outside/secret"
ln -s ../../outside/secret "$WORK/root/half/adapter_config.json"
post 403 x "$WORK/root/half"
grep secret-token "$WORK/body" && fail "a foreign file is quoted"
mkfifo "$WORK/root/pipe/adapter_config.json"
post 400 x "$WORK/root/pipe"
grep 'no regular file' "$WORK/body" >/dev/null
for name in one two; do
    [ "$(call GET "/v1/adapters/$name" | grep -c '"state":"ready"')" = 1 ]
done
answers_with 404 GET /v1/adapters/x
[ -z "$(ls "$DATA/incoming")" ] || fail "something is left over"
