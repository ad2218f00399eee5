# What is made at open has the size that it would have now: tar, rclone and Python's copyfile read
# as many bytes as a file is said to have. And a training waits for a file that is written slowly.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task
rows 4 red >"$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
for name in status error; do
    cat "$MODEL/task/$name" >"$WORK/$name"
    [ "$(stat -c %s "$MODEL/task/$name")" = "$(stat -c %s "$WORK/$name")" ] || fail "$name"
    tar -C "$MODEL/task" -cf - "$name" | tar -xOf - | cmp - "$WORK/$name"
    python3 -c 'import shutil, sys; shutil.copyfile(sys.argv[1], sys.argv[2])' \
        "$MODEL/task/$name" "$WORK/copy"
    cmp "$WORK/copy" "$WORK/$name"
done

mkdir "$MODEL/slow"
rows 4 red >"$MODEL/slow/dataset.jsonl"
python3 -c 'import os, sys, time
f = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_EXCL)
for piece in ["{"] + [" "] * 20 + ["\"steps\": 1, \"rank\": 3}"]:
    os.write(f, piece.encode())
    time.sleep(0.15)
os.close(f)' "$MODEL/slow/config.json"
wait_status slow '^ready v1$'
grep -q '"r": 3' "$MODEL/slow/adapter/adapter_config.json"
