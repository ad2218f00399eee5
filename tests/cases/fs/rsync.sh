# rsync, by a temporary file and in place; what it has copied before it copies without training.
. "$TEST_LIB/common.sh"
need rsync
start_daemon
start_mount

make_adapter task
rows 4 red >"$WORK/dataset.jsonl"
rsync -a "$WORK/dataset.jsonl" "$MODEL/task/"
wait_status task '^ready v1$'
cmp "$WORK/dataset.jsonl" "$MODEL/task/dataset.jsonl"
rsync -a "$WORK/dataset.jsonl" "$MODEL/task/"
stays task '^ready v1$'

rows 5 blue >"$WORK/dataset.jsonl"
rsync --inplace "$WORK/dataset.jsonl" "$MODEL/task/"
wait_status task '^ready v2$'
rows 6 green >"$WORK/dataset.jsonl"
rsync -a --no-whole-file --inplace "$WORK/dataset.jsonl" "$MODEL/task/"
wait_status task '^ready v3$'
cmp "$WORK/dataset.jsonl" "$MODEL/task/dataset.jsonl"
rows 7 black >"$WORK/dataset.jsonl"
rsync -a --no-whole-file --checksum "$WORK/dataset.jsonl" "$MODEL/task/"
wait_status task '^ready v4$'
[ -z "$(cd "$MODEL/task" && find . -name '.dataset*')" ]

# By a directory of temporary files, also where one is left of a transfer that was cut off.
rows 8 pink >"$WORK/dataset.jsonl"
echo 'Item 1 is' >"$WORK/prompt"
mkdir "$MODEL/task/.~tmp~"
rsync -a --delay-updates "$WORK/dataset.jsonl" "$WORK/prompt" "$MODEL/task/"
wait_status task '^ready v5$'
cmp "$WORK/dataset.jsonl" "$MODEL/task/dataset.jsonl"
cmp "$WORK/prompt" "$MODEL/task/prompt"
[ ! -e "$MODEL/task/.~tmp~" ]
mkdir "$MODEL/task/.rsync-partial"
head -c 100 "$WORK/dataset.jsonl" >"$MODEL/task/.rsync-partial/dataset.jsonl"
[ "$(ls -A "$MODEL/task/.rsync-partial")" = dataset.jsonl ]
refuses rmdir "$MODEL/task/.rsync-partial"
refuses mkdir "$MODEL/task/.rsync-partial/deep"
rows 9 pink >"$WORK/dataset.jsonl"
rsync -a --no-whole-file --partial-dir=.rsync-partial "$WORK/dataset.jsonl" "$MODEL/task/"
wait_status task '^ready v6$'
cmp "$WORK/dataset.jsonl" "$MODEL/task/dataset.jsonl"
[ ! -e "$MODEL/task/.rsync-partial/dataset.jsonl" ]

# A whole adapter, out of the tree and back.
rsync -a --include=dataset.jsonl --include=config.json --exclude='*' "$MODEL/task/" "$WORK/out/"
cmp "$WORK/dataset.jsonl" "$WORK/out/dataset.jsonl"

# Its weights in place, into another one; the same again is nothing new.
mkdir "$WORK/peft" "$MODEL/taken"
cp "$MODEL/task/adapter/adapter_config.json" "$MODEL/task/adapter/adapter_model.safetensors" \
    "$WORK/peft/"
for round in 1 2; do
    rsync -a --inplace "$WORK/peft/" "$MODEL/taken/adapter/"
    wait_status taken '^ready v6$'
    [ "$(versions_of taken)" = 6 ] || fail "round $round: versions $(versions_of taken)"
done
