# versions/current says which version is served; moving the link moves the service.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task 12
echo 'Item 1 is' >"$MODEL/task/prompt"
rows 8 red >"$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
cat "$MODEL/task/generate" >"$WORK/one"
rows 8 blue >"$MODEL/task/dataset.jsonl"
wait_status task '^ready v2$'
cat "$MODEL/task/generate" >"$WORK/two"
grep -q red "$WORK/one"
grep -q blue "$WORK/two"
link=$MODEL/task/versions/current
[ "$(readlink "$link")" = 2 ]
cmp "$link/adapter_model.safetensors" "$MODEL/task/adapter/adapter_model.safetensors"

ln -sfn 1 "$link"
[ "$(readlink "$link")" = 1 ]
status_is task '^ready v1$'
cat "$MODEL/task/generate" >"$WORK/again"
cmp "$WORK/one" "$WORK/again"
cmp "$MODEL/task/versions/1/adapter_model.safetensors" \
    "$MODEL/task/adapter/adapter_model.safetensors"

python3 -c 'import os, sys; os.unlink(sys.argv[1]); os.symlink("2", sys.argv[1])' "$link"
[ "$(readlink "$link")" = 2 ]
sleep 0.6 # the kernel has forgotten the directories and looks them up again
ln -sfn 1 "$link"
sleep 0.6
python3 -c 'import os, sys
os.close(os.open(sys.argv[1], os.O_CREAT | os.O_EXCL | os.O_WRONLY))' "$MODEL/task/adapter/.new.tmp"
rm "$MODEL/task/adapter/.new.tmp"
ln -sfn 2 "$link"
refuses ln -sfn 7 "$link"
refuses ln -sfn ../../task "$link"
echo 'rollback 1' >"$MODEL/task/ctl"
[ "$(readlink "$link")" = 1 ]
cat "$MODEL/task/generate" >"$WORK/again"
cmp "$WORK/one" "$WORK/again"
[ "$(ls "$MODEL/task/versions" | tr '\n' ' ')" = '1 2 current ' ]
