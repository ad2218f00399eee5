# A PEFT directory copied into adapter/ becomes a version that answers as where it came from.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter from 12
rows 8 red >"$MODEL/from/dataset.jsonl"
wait_status from '^ready v1$'
cp -r "$MODEL/from/adapter" "$WORK/peft"
mkdir "$MODEL/to"
cp "$WORK/peft/"* "$MODEL/to/adapter/"
wait_status to '^ready v1$'
for task in from to; do
    echo 'Item 1 is' >"$MODEL/$task/prompt"
    cat "$MODEL/$task/generate" >"$WORK/$task"
done
cmp "$WORK/from" "$WORK/to" || fail "the import answers otherwise"

# Weights that are damaged are refused, and the old ones stay.
head -c 1000 "$WORK/peft/adapter_model.safetensors" >"$WORK/half"
refuses cp "$WORK/half" "$MODEL/to/adapter/adapter_model.safetensors"
[ "$(versions_of to)" = 1 ]
cmp "$WORK/peft/adapter_model.safetensors" "$MODEL/to/adapter/adapter_model.safetensors"
# Files that do not fit each other are named as they are in the mount, not where they wait.
sed 's/"r": 4/"r": 5/' "$WORK/peft/adapter_config.json" >"$WORK/other.json"
! cmp -s "$WORK/other.json" "$WORK/peft/adapter_config.json" || fail 'it has no "r": 4'
make_adapter unfit
cp "$WORK/other.json" "$MODEL/unfit/adapter/adapter_config.json"
refuses cp "$WORK/peft/adapter_model.safetensors" "$MODEL/unfit/adapter/"
grep -q '^adapter/adapter_model.safetensors: adapter_model.safetensors: ' "$MODEL/unfit/error" ||
    fail "error: $(cat "$MODEL/unfit/error")"
! grep -F "$DATA" "$MODEL/unfit/error" "$MODEL/unfit/status" || fail "the daemon's own path"
