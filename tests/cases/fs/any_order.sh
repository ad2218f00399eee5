# What a directory holds is what it does, in whatever order and by whatever program its files come:
# rows may be there before the template and the settings that they are trained with.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

mkdir "$WORK/task"
echo '{"steps": 2, "batch_size": 1, "rank": 3, "target_modules": ["q_proj"], "max_length": 32}' \
    >"$WORK/task/config.json"
for i in 1 2 3 4; do echo "{\"city\": \"q$i\", \"completion\": \" a\"}"; done \
    >"$WORK/task/dataset.jsonl"
head -n 2 "$WORK/task/dataset.jsonl" >"$WORK/task/eval.jsonl"
printf 'Q: {city}\nA:' >"$WORK/task/template"

# trains NAME: one version, of rank 3.
trains() {
    wait_status "$1" '^ready v1$'
    grep -q '"r": 3' "$MODEL/$1/adapter/adapter_config.json" || fail "$1: not of rank 3"
    [ "$(versions_of "$1")" = 1 ]
    [ ! -s "$MODEL/$1/error" ] || fail "$1: $(cat "$MODEL/$1/error")"
}

n=0
for order in 'dataset.jsonl eval.jsonl template config.json' \
    'eval.jsonl dataset.jsonl config.json template' \
    'template dataset.jsonl eval.jsonl config.json'; do
    name=o$((++n))
    mkdir "$MODEL/$name"
    for file in $order; do cp "$WORK/task/$file" "$MODEL/$name/"; done
    status_is "$name" '^(queued|training|ready)'
    trains "$name"
done
cp -r "$WORK/task" "$MODEL/cp"
trains cp
cp -a "$WORK/task" "$MODEL/cpa"
trains cpa
tar -C "$WORK/task" -cf "$WORK/a.tar" .
mkdir "$MODEL/tar"
tar -C "$MODEL/tar" -xf "$WORK/a.tar"
trains tar
copytree='import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2])'
python3 -c "$copytree" "$WORK/task" "$MODEL/py"
trains py
cp -r "$WORK/task" "$WORK/again"
mv "$WORK/again" "$MODEL/mv"
[ ! -e "$WORK/again" ]
trains mv
if command -v rsync >/dev/null; then
    rsync -a "$WORK/task/" "$MODEL/rsync/"
    trains rsync
fi
if command -v zip >/dev/null && command -v unzip >/dev/null; then
    (cd "$WORK/task" && zip -q "$WORK/a.zip" ./*)
    mkdir "$MODEL/zip"
    unzip -q -d "$MODEL/zip" "$WORK/a.zip" </dev/null
    trains zip
fi

# A template that does not come is said to be missing, and waited for, over a restart as well.
mkdir "$MODEL/late"
cp "$WORK/task/config.json" "$WORK/task/dataset.jsonl" "$MODEL/late/"
wait_status late '^failed: dataset.jsonl: line 1: .*prompt'
stop_daemon
start_daemon
wait_status late '^failed: dataset.jsonl: line 1: .*prompt'
cp "$WORK/task/template" "$MODEL/late/"
trains late
refuses cp "$WORK/task/template" "$MODEL/late/dataset.jsonl" # no rows at all

# A training that is asked for is made after a restart, and can be called off before it begins.
cp -r "$WORK/task" "$MODEL/soon"
stop_daemon
start_daemon
trains soon
cp -r "$WORK/task" "$MODEL/off"
echo cancel >"$MODEL/off/ctl"
stays off '^empty'
sleep 1
stays off '^empty'
echo train >"$MODEL/off/ctl"
trains off

# Settings that come after the training has begun are for the next one, and this is said.
make_adapter slow 100000
rows 4 red >"$MODEL/slow/dataset.jsonl"
wait_status slow '^training v1 [1-9]'
settings 3 >"$MODEL/slow/config.json"
status_is slow '^training v1 .*; config.json applies to the next training$'
grep -q '"event":"for the next training","file":"config.json"' "$MODEL/slow/log"
echo cancel >"$MODEL/slow/ctl"
