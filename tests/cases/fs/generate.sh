# generate: the stored prompt for cat, a conversation for a handle, pieces for head, errors for a
# walk.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task 12
rows 8 red >"$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
file=$MODEL/task/generate

check read_errno "$file" ENODATA
echo 'Item 1 is' >"$MODEL/task/prompt"
cat "$file" >"$WORK/one"
cat "$file" >"$WORK/two"
grep -q red "$WORK/one"
cmp "$WORK/one" "$WORK/two"

check conversation "$file" 'Item 1 is' 'Item 2 is' >"$WORK/talk"
cmp -n "$(wc -c <"$WORK/one")" "$WORK/one" "$WORK/talk"
exec 3<>"$file"
echo 'Item 1 is' >&3
cat <&3 >"$WORK/three"
exec 3>&-
cmp "$WORK/one" "$WORK/three"

head -c 1 "$file" >"$WORK/piece"
[ "$(wc -c <"$WORK/piece")" = 1 ]
check text_mode "$file" 'Item 1 is' 'Item 2 is' | cmp - "$WORK/talk"
check nonblocking "$file" 'Item 1 is'

make_adapter talker 8 120
endless 4 >"$MODEL/talker/dataset.jsonl"
wait_status talker '^ready v1$'
echo 'Item 1 is' >"$MODEL/talker/prompt"
check signal_with_handler "$MODEL/talker/generate"
