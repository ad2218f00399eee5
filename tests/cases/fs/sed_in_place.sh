# sed -i writes a temporary file and renames it: the rename commits.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task
rows 4 red >"$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
sed -i 's/red/blue/' "$MODEL/task/dataset.jsonl"
wait_status task '^ready v2$'
[ "$(cat "$MODEL/task/dataset.jsonl")" = "$(rows 4 blue)" ]

# A result that is no data set is refused, and the rename fails.
refuses sed -i 's/{/[/' "$MODEL/task/dataset.jsonl"
wait_status task 'dataset.jsonl: line 1'
[ "$(cat "$MODEL/task/dataset.jsonl")" = "$(rows 4 blue)" ]
[ "$(versions_of task)" = "1 2" ]
[ -z "$(cd "$MODEL/task" && find . -name 'sed*')" ]
perl -pi -e 's/blue/green/' "$MODEL/task/dataset.jsonl" 2>/dev/null || exit 0
wait_status task '^ready v3$'
