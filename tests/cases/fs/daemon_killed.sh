# The daemon dies and comes back: the mount says so, loses nothing, and goes on by itself.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task
rows 3 red >"$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
kill_daemon
refuses cat "$MODEL/task/status"
refused_with 'Connection refused'
ls -l "$MNT" >/dev/null
head -1 "$MNT/README" >/dev/null
sleep 0.6
refuses ls "$MODEL"
start_daemon
wait_status task '^ready v1$'
[ "$(cat "$MODEL/task/dataset.jsonl")" = "$(rows 3 red)" ]

# A stream that is cut off is an error, not an end; what is being written is kept until its close.
echo 'Once upon a time' >"$MODEL/task/prompt"
settings 2 1900 >"$MODEL/task/config.json"
cat "$MODEL/task/generate" >/dev/null 2>"$WORK/cut" &
reader=$!
exec 3>"$MODEL/task/dataset.jsonl"
rows 4 blue >&3
kill_daemon
if wait "$reader"; then
    fail "a cut-off answer looked whole"
fi
start_daemon
exec 3>&-
wait_status task '^ready v2$'
[ "$(cat "$MODEL/task/dataset.jsonl")" = "$(rows 4 blue)" ]
stop_daemon
refuses bash -c "echo x >'$MODEL/task/prompt'"
refused_with 'Connection refused'
