# A data set that is wrong fails at close, status names the line, and the old adapter still answers.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task
rows 4 red >"$WORK/good.jsonl"
cp "$WORK/good.jsonl" "$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
echo 'Item 1 is' >"$MODEL/task/prompt"
cat "$MODEL/task/generate" >"$WORK/before"

{ rows 2 red; echo '{"prompt": "x"'; rows 2 red; } >"$WORK/bad.jsonl"
refuses cp "$WORK/bad.jsonl" "$MODEL/task/dataset.jsonl"
refused_with 'failed to close'
wait_status task 'dataset.jsonl: line 3'
grep -q '^dataset.jsonl: line 3: ' "$MODEL/task/error"
check write_errno "$MODEL/task/dataset.jsonl" '{"completion": 1}' EINVAL
wait_status task 'dataset.jsonl: line 1'

# What a reason quotes cannot drive a terminal, nor write a line of its own.
check write_errno "$MODEL/task/dataset.jsonl" $'\e]0;title\a\n' EINVAL
for name in status error; do
    refuses grep -q '[^[:print:]]' "$MODEL/task/$name"
done
check write_errno "$MODEL/task/dataset.jsonl" '{"x\nready v9\u001b[2J": 1}' EINVAL
for name in status error; do
    [ "$(grep -vc '^warning: ' "$MODEL/task/$name")" = 1 ] ||
        fail "$name: $(cat "$MODEL/task/$name")"
done
check write_errno "$MODEL/task/config.json" '{"rank\n\u009b": 1}' EINVAL
[ "$(wc -l <"$MODEL/task/error")" = 1 ]
refuses grep -q $'\e\|\a' "$WORK/daemon.log" "$WORK/mount.log"

cmp "$WORK/good.jsonl" "$MODEL/task/dataset.jsonl"
[ "$(versions_of task)" = 1 ]
cat "$MODEL/task/generate" >"$WORK/after"
cmp "$WORK/before" "$WORK/after"

# A good file clears it.
rows 3 blue >"$MODEL/task/dataset.jsonl"
wait_status task '^ready v2$'
[ -z "$(cat "$MODEL/task/error")" ]
