# config.json: bad JSON, an unknown key and a value out of range fail at close; status says why.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task
cp "$MODEL/task/config.json" "$WORK/config.json"
check write_errno "$MODEL/task/config.json" '{"rank": 4' EINVAL
wait_status task 'config.json: line 1'
check write_errno "$MODEL/task/config.json" '{"rnak": 4}' EINVAL
wait_status task 'config.json: .*rnak'
check write_errno "$MODEL/task/config.json" '{"rank": 0}' EINVAL
wait_status task 'config.json: .*rank'
cmp "$WORK/config.json" "$MODEL/task/config.json"
check write_errno "$MODEL/task/template" 'a {broken' EINVAL
echo '{"rank": 2, "steps": 2, "batch_size": 2}' >"$MODEL/task/config.json"
wait_status task '^(empty|failed: template)'
echo 'Q: {question}' >"$MODEL/task/template"
wait_status task '^empty'
echo '{"question": "a", "completion": " b"}' >"$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
