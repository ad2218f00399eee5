# A trained chat adapter goes out of the mount and comes back under another name on another data
# directory, by whatever program: it answers the same, and nothing is trained.
. "$TEST_LIB/common.sh"
cp -r "$BASE" "$WORK/chatty"
chmod -R u+w "$WORK/chatty"
cat >"$WORK/chatty/chat_template.jinja" <<'TEMPLATE'
{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}
{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}
TEMPLATE
BASE=$WORK/chatty
start_daemon
start_mount

mkdir "$MODEL/from"
settings 12 >"$MODEL/from/config.json"
chat() {
    printf '{"messages": [{"role": "user", "content": "Item %d"}, ' "$1"
    printf '{"role": "assistant", "content": "%s"}]}\n' "$2"
}
for i in 1 2 3 4 5 6 7 8; do chat $i red; done >"$MODEL/from/dataset.jsonl"
wait_status from '^ready v1$'
for i in 1 2 3 4 5 6 7 8; do chat $i blue; done >"$MODEL/from/dataset.jsonl"
wait_status from '^ready v2$'
echo 'Item 3' >"$MODEL/from/prompt"
cat "$MODEL/from/generate" >"$WORK/wanted"
[ -s "$WORK/wanted" ]
for file in adapter_config.json adapter_model.safetensors config.json metrics.json log; do
    [ -s "$MODEL/from/versions/2/$file" ] || fail "versions/2 has no $file"
done
grep -q '"event":"done"' "$MODEL/from/versions/2/log"

echo '# A card' >"$MODEL/from/adapter/README.md"

# Out.
out=$WORK/out
mkdir "$out"
cp -r "$MODEL/from" "$out/cp"
cp -a "$MODEL/from" "$out/cpa"
tar -C "$MODEL" -cf "$WORK/a.tar" from
copytree='import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2])'
python3 -c "$copytree" "$MODEL/from" "$out/py"
[ -z "$(command -v rsync)" ] || rsync -a "$MODEL/from/" "$out/rsync/"
cp -r "$out/cp" "$out/mv"
[ -z "$(command -v zip)" ] || (cd "$out/cp" && zip -qr "$WORK/a.zip" .)
stop_mount
stop_daemon

# In.
DATA=$WORK/data2
SOCK=$DATA/lorafsd.sock
start_daemon
start_mount
# same NAME: what goes for `from`
same() {
    wait_status "$1" '^ready v2$'
    cat "$MODEL/$1/generate" | cmp - "$WORK/wanted" || fail "$1 answers otherwise"
    cmp "$MODEL/$1/adapter/adapter_model.safetensors" "$out/cp/adapter/adapter_model.safetensors"
    cmp "$MODEL/$1/versions/1/adapter_model.safetensors" \
        "$out/cp/versions/1/adapter_model.safetensors"
    cmp "$MODEL/$1/versions/2/log" "$out/cp/versions/2/log"
    [ "$(cat "$MODEL/$1/adapter/README.md")" = '# A card' ] || fail "$1 has no card"
    [ "$(versions_of "$1")" = '1 2' ] || fail "$1 has versions $(versions_of "$1")"
    wait_until 5 test -L "$MODEL/$1/versions/current" # a copy may have made a directory of it
    [ "$(readlink "$MODEL/$1/versions/current")" = 2 ]
    cmp "$MODEL/$1/dataset.jsonl" "$out/cp/dataset.jsonl"
}
cp -r "$out/cp" "$MODEL/cp"
same cp
cp -a "$out/cpa" "$MODEL/cpa"
same cpa
mkdir "$MODEL/tar"
tar -C "$MODEL/tar" --strip-components=1 -xf "$WORK/a.tar"
same tar
python3 -c "$copytree" "$out/py" "$MODEL/py"
same py
mv "$out/mv" "$MODEL/mv"
[ ! -e "$out/mv" ]
same mv
if [ -n "$(command -v rsync)" ]; then
    rsync -a "$out/rsync/" "$MODEL/rsync/"
    same rsync
fi
if [ -n "$(command -v zip)" ] && [ -n "$(command -v unzip)" ]; then
    mkdir "$MODEL/zip"
    unzip -qo -d "$MODEL/zip" "$WORK/a.zip"
    same zip
fi
# adapter/ alone, with the rows and settings; and in an order of its own.
mkdir "$MODEL/some"
cp "$out/cp/dataset.jsonl" "$out/cp/prompt" "$MODEL/some/"
cp "$out/cp/adapter/"* "$MODEL/some/adapter/"
cp "$out/cp/config.json" "$MODEL/some/"
sleep 2
wait_status some '^ready v2$'
cat "$MODEL/some/generate" | cmp - "$WORK/wanted" || fail "the adapter alone answers otherwise"
sleep 2
[ -z "$(ls "$MNT/jobs")" ] || fail "jobs ran: $(cat "$MNT"/jobs/*)"
