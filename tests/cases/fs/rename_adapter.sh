# mv renames an adapter: same weights, same files, other name; a taken name is refused.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task
echo 'Item 1 is' >"$MODEL/task/prompt"
rows 4 red >"$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
cat "$MODEL/task/generate" >"$WORK/before"
echo local >"$MODEL/task/.notes"
mv "$MODEL/task" "$MODEL/other"
[ ! -e "$MODEL/task" ]
status_is other '^ready v1$'
[ "$(cat "$MODEL/other/dataset.jsonl")" = "$(rows 4 red)" ]
[ "$(cat "$MODEL/other/.notes")" = local ]
cat "$MODEL/other/generate" >"$WORK/after"
cmp "$WORK/before" "$WORK/after"
make_adapter task
refuses mv -T "$MODEL/other" "$MODEL/task"
refuses mv "$MODEL/other" "$MODEL/.x"
refuses mv "$MODEL/other" "$MODEL/task/"
check rename2_errno "$MODEL/other" "$MODEL/task" NOREPLACE EEXIST
status_is other '^ready v1$'
status_is task '^empty'
