# Temporaries' names in an adapter directory are files of the mount alone: editors' and rsync's.
# They do not train, are not sent, and can be listed, renamed, linked and removed.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task
dir=$MODEL/task
for name in .dataset.jsonl.swp 4913 'dataset.jsonl~' sedAbC123 .dataset.jsonl.x8Yz 'prompt.a b'; do
    rows 2 red >"$dir/$name"
    [ "$(cat "$dir/$name")" = "$(rows 2 red)" ]
done
stays task '^empty'
ls -A "$dir" | grep -qx 'prompt.a b'
chmod 600 "$dir/prompt.a b"
touch -d '2001-02-03 04:05:06 UTC' "$dir/prompt.a b"
[ "$(stat -c '%a %Y' "$dir/prompt.a b")" = "600 981173106" ]
mv "$dir/prompt.a b" "$dir/.c"
[ ! -e "$dir/prompt.a b" ]
ln -s target "$dir/.link"
[ "$(readlink "$dir/.link")" = target ]
truncate -s 100000 "$dir/.c"
[ "$(stat -c %s "$dir/.c")" = 100000 ]
truncate -s 10 "$dir/.c"
[ "$(head -c 10 "$dir/.c")" = "$(rows 1 red | head -c 10)" ]
rm "$dir/.link" "$dir/.c" "$dir/4913"
[ ! -e "$dir/.c" ]

# One becomes the data set; the data set becomes one.
mv "$dir/sedAbC123" "$dir/dataset.jsonl"
wait_status task '^ready v1$'
mv "$dir/dataset.jsonl" "$dir/dataset.jsonl.old"
[ "$(cat "$dir/dataset.jsonl.old")" = "$(rows 2 red)" ]
[ ! -e "$dir/dataset.jsonl" ]
sleep 1.5
[ ! -e "$dir/dataset.jsonl" ]
mv "$dir/dataset.jsonl.old" "$dir/dataset.jsonl"
stays task '^ready v1$'
[ "$(cat "$dir/dataset.jsonl")" = "$(rows 2 red)" ]

# From one adapter into another.
make_adapter other
cp "$dir/dataset.jsonl" "$dir/.copy"
mv "$dir/.copy" "$MODEL/other/dataset.jsonl"
wait_status other '^ready v1$'

# A copy of what the daemon makes, where that name was removed just now: it is there again.
for name in status log; do
    cat "$MODEL/other/$name" >"$MODEL/other/.copy"
    rm "$MODEL/other/$name"
    mv "$MODEL/other/.copy" "$MODEL/other/$name"
    [ -s "$MODEL/other/$name" ] || fail "there is no $name"
done
