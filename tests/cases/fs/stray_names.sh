# A name that means nothing in an adapter is refused where it is made, and until something is taken
# `error` (and `status`, where nothing is served) says what would mean something.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task
rows 4 red >"$WORK/train.jsonl"
refuses mv "$WORK/train.jsonl" "$MODEL/task/"
refused_with 'Invalid argument'
[ -s "$WORK/train.jsonl" ] || fail "the data went with a refused mv"
status_is task '^empty; refused train.jsonl: .*dataset.jsonl'
grep -q '^train.jsonl: ' "$MODEL/task/error"

for name in dataset.json datasets.jsonl configs.json notes 'a b' adapter/README.txt \
    adapter/adapter_model.bin adapter_model.bin training_args.bin versions.txt dataset.jsonl.gz \
    dataset.jsonl.csv prompt.txt template.jinja config.json.txt eval.jsonl.parquet; do
    refuses cp "$WORK/train.jsonl" "$MODEL/task/$name"
    [ ! -e "$MODEL/task/$name" ] || fail "$name is there"
    grep -qF "${name##*/}" "$MODEL/task/error" || fail "$name: $(cat "$MODEL/task/error")"
done
refuses cp "$WORK/train.jsonl" "$MODEL/task/datasets.jsonl"
status_is task 'did you mean dataset.jsonl'
gzip -c "$WORK/train.jsonl" >"$WORK/dataset.jsonl.gz"
refuses cp "$WORK/dataset.jsonl.gz" "$MODEL/task/"
status_is task 'did you mean dataset.jsonl'
refuses cp "$WORK/train.jsonl" "$MODEL/task/adapter/adapter_model.bin"
status_is task 'safetensors'
refuses mkdir "$MODEL/task/checkpoint-100"
status_is task 'checkpoint-100'
refuses ln -s /tmp "$MODEL/task/link"
refuses python3 -c 'import sys; open(sys.argv[1], "x")' "$MODEL/task/trainingdata"
cp "$WORK/train.jsonl" "$MODEL/task/.half"
refuses mv "$MODEL/task/.half" "$MODEL/task/rows.jsonl"
status_is task 'rows.jsonl'
rm "$MODEL/task/.half"

# What is taken afterwards clears it; a name that is refused harms no adapter that serves.
cp "$WORK/train.jsonl" "$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
[ ! -s "$MODEL/task/error" ]
refuses cp "$WORK/train.jsonl" "$MODEL/task/test.jsonl"
status_is task '^ready v1$'
grep -q '^test.jsonl: ' "$MODEL/task/error"
echo 'Item 1 is' >"$MODEL/task/prompt"
cat "$MODEL/task/generate" >"$WORK/answer"
status_is task '^ready v1$'

# What the daemon makes takes copies, and nothing else.
for name in status log metrics.json loss.svg; do
    cat "$MODEL/task/$name" >"$WORK/$name"
    cp "$WORK/$name" "$MODEL/task/$name"
    refuses bash -c "echo 'by hand' >'$MODEL/task/$name'"
done
cat "$MODEL/task/ctl" >"$WORK/ctl"
cp "$WORK/ctl" "$MODEL/task/ctl" # gives none of the commands
stays task '^ready v1$'
[ "$(versions_of task)" = 1 ]

# A name longer than a name may be is called that.
long=$(printf 'x%.0s' {1..256})
refuses touch "$MODEL/task/$long"
refused_with 'File name too long'
refuses mkdir "$MODEL/$long"
refused_with 'File name too long'
