# touch, chmod and chown neither train nor change what is there; nor does an open that writes
# nothing.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task
rows 4 red >"$WORK/a.jsonl"
touch "$MODEL/task/dataset.jsonl"
: >"$MODEL/task/dataset.jsonl"
stays task '^empty'
[ ! -s "$MODEL/task/dataset.jsonl" ]

cp "$WORK/a.jsonl" "$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
touch "$MODEL/task/dataset.jsonl"
touch -d yesterday "$MODEL/task/dataset.jsonl"
chmod 600 "$MODEL/task/dataset.jsonl"
chown "$(id -u)" "$MODEL/task/dataset.jsonl"
: >>"$MODEL/task/dataset.jsonl"
: >"$MODEL/task/dataset.jsonl"
stays task '^ready v1$'
cmp "$WORK/a.jsonl" "$MODEL/task/dataset.jsonl"

# A prompt can be emptied.
echo hello >"$MODEL/task/prompt"
[ "$(cat "$MODEL/task/prompt")" = hello ]
: >"$MODEL/task/prompt"
wait_until 5 test ! -s "$MODEL/task/prompt"
