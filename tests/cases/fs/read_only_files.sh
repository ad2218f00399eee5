# What the daemon makes is not for writing, whoever asks; and the tree has no room for other things.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task
rows 3 red >"$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
denied=EPERM # root is let through by the kernel, which looks at the mode
[ "$(id -u)" = 0 ] || denied=EACCES
for name in status error settings log progress metrics.json versions/1/adapter_config.json; do
    check open_errno "$MODEL/task/$name" O_WRONLY $denied
    [ "$(stat -c %a "$MODEL/task/$name")" = 444 ] || fail "$name: $(stat -c %a "$MODEL/task/$name")"
done
for name in config.json dataset.jsonl adapter/adapter_config.json ctl generate; do
    [ "$(stat -c %a "$MODEL/task/$name")" = 644 ] || fail "$name: $(stat -c %a "$MODEL/task/$name")"
done
check open_errno "$MODEL/task/generate" O_WRONLY EINVAL
check open_errno "$MODEL/task/versions/1/adapter_config.json" O_RDWR $denied
check open_errno "$MNT/README" O_WRONLY $denied
check open_errno "$MNT/new" "O_WRONLY|O_CREAT" EPERM
check open_errno "$MODEL/new" "O_WRONLY|O_CREAT" EPERM
refuses mv "$MODEL/task/log" "$MODEL/task/old"
refuses mv "$MODEL/task/config.json" "$MODEL/task/status"
refuses mkdir "$MODEL/task/sub"
refuses mkdir "$MNT/other"
refuses mkdir "$MODEL/.hidden"
refuses mkdir "$MODEL/white space"
refuses rm "$MNT/README"
refuses rmdir "$MNT/base"
refuses ln "$MODEL/task/log" "$MODEL/task/again"
refuses ln -s /etc/passwd "$MODEL/task/dataset.jsonl"
stays task '^ready v1$'

# Extended attributes are not there, room is.
df "$MNT" | grep -q "$MNT"
refuses python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.a", b"b")' \
    "$MODEL/task/config.json"
grep -q adapter "$MNT/README"
grep -q '^lorafs_' "$MNT/metrics"
check json_file "$MNT/base/$(ls "$MNT/base")/config.json"
[ -s "$MNT/base/$(ls "$MNT/base")/info" ]
