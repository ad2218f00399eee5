# The daemon dies and comes back: the mount says so, shows what it knew, loses nothing, and goes on
# by itself.
. "$TEST_LIB/common.sh"
start_daemon
start_mount --wait 3

make_adapter task 8 1900
endless 4 >"$WORK/endless"
cp "$WORK/endless" "$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
kill_daemon
wait_status task '^stale: the daemon has been away for [0-9]+ s; v1 was served$'
refuses cat "$MODEL/task/metrics.json"
refused_with 'Connection refused'
ls -l "$MNT" >/dev/null
head -1 "$MNT/README" >/dev/null
[ "$(ls "$MODEL")" = task ]
wait_until 10 sh -c "ls '$MODEL' && grep 'what is listed is stale' '$WORK/mount.log'"
start_daemon
wait_status task '^ready v1$'
cmp "$WORK/endless" "$MODEL/task/dataset.jsonl"

# A stream that is cut off is an error, not an end; what is being written is kept until its close.
echo 'Item 1 is' >"$MODEL/task/prompt"
cat "$MODEL/task/generate" >"$WORK/said" 2>"$WORK/cut" &
reader=$!
exec 3>"$MODEL/task/dataset.jsonl"
rows 4 blue >&3
wait_until 60 test -s "$WORK/said" || fail "no answer begins"
kill_daemon
if wait "$reader"; then
    fail "a cut-off answer looked whole"
fi
start_daemon
exec 3>&-
wait_status task '^ready v2$'
[ "$(cat "$MODEL/task/dataset.jsonl")" = "$(rows 4 blue)" ]
stop_daemon
refuses cp "$WORK/said" "$MODEL/task/prompt"
refused_with 'Connection refused'
