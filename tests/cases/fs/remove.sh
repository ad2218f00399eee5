# rm -r, rmdir and rm: an adapter goes as a whole, a slip does no harm.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task
rows 3 red >"$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'

# What the daemon makes comes back; what a person wrote is gone.
rm "$MODEL/task/status" "$MODEL/task/log"
[ ! -e "$MODEL/task/status" ]
wait_until 5 status_is task '^ready v1$' || fail "status did not come back"
[ -s "$MODEL/task/log" ]
echo hi >"$MODEL/task/prompt"
rm "$MODEL/task/prompt"
sleep 1.5
[ ! -e "$MODEL/task/prompt" ]
rm "$MODEL/task/dataset.jsonl"
rows 4 blue >"$MODEL/task/dataset.jsonl" # before the removal is sent
wait_status task '^ready v2$'
sleep 1.5
[ "$(cat "$MODEL/task/dataset.jsonl")" = "$(rows 4 blue)" ]

# A version that is not served can go.
rm -r "$MODEL/task/versions/1"
[ "$(versions_of task)" = 2 ]
sleep 1.5
[ "$(versions_of task)" = 2 ]


# The one that is served cannot, alone; nothing of it is lost.
refuses rmdir "$MODEL/task/versions/2"
refused_with 'not empty'
for what in versions/2 versions; do
    refuses rm -r "$MODEL/task/$what"
    refused_with 'Device or resource busy'
    cmp "$MODEL/task/versions/2/adapter_model.safetensors" \
        "$MODEL/task/adapter/adapter_model.safetensors"
done
wait_until 5 test -L "$MODEL/task/versions/current" || fail "nothing is served"

refuses rmdir "$MODEL/task"
refused_with 'not empty'
echo x >"$MODEL/task/.swp"
rm -r "$MODEL/task"
[ ! -e "$MODEL/task" ]
[ -z "$(ls "$MODEL")" ]
trash=$(find "$DATA/trash" -name dataset.jsonl)
[ "$(cat "$trash")" = "$(rows 4 blue)" ] || fail "the trash has no data set"

mkdir "$MODEL/empty"
rmdir "$MODEL/empty"
make_adapter empty
rmdir "$MODEL/empty"
make_adapter again
rows 3 red >"$MODEL/again/dataset.jsonl"
wait_status again '^ready v1$'
find "$MODEL/again" -delete
[ ! -e "$MODEL/again" ]
# Out of the mount and back, as mv does it.
make_adapter moved
rows 3 red >"$MODEL/moved/dataset.jsonl"
wait_status moved '^ready v1$'
mv "$MODEL/moved" "$WORK/moved"
[ ! -e "$MODEL/moved" ]
mv "$WORK/moved" "$MODEL/moved"
wait_status moved '^ready v1$'
[ ! -e "$WORK/moved" ]
# As rsync --delete goes about it, from the last name to the first.
make_adapter last
rows 3 red >"$MODEL/last/dataset.jsonl"
wait_status last '^ready v1$'
"${PYTHON:-python3}" -c 'import os, sys
def remove(path):
    for e in sorted(os.scandir(path), key=lambda e: e.name, reverse=True):
        remove(e.path) if e.is_dir(follow_symlinks=False) else os.unlink(e.path)
    os.rmdir(path)
remove(sys.argv[1])' "$MODEL/last"
[ ! -e "$MODEL/last" ]
