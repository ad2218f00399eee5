# A daemon behind a line that is cut: what was listed is shown meanwhile, and said to be stale;
# reads and writes wait for as long as an option says; what was acknowledged is there, done once.
. "$TEST_LIB/line.sh"
serve_far
mount_far --wait 60 --timeout 2

# A listing of many takes as many round trips as one of few: the tree comes as a whole, and again,
# as an empty answer, four times a second.
check adapters "$SOCK" 120
wait_until 10 test -d "$MODEL/a0119" || fail "not all are there"
listed() {
    SECONDS=0
    ls -lR "$MNT" >/dev/null
    [ "$(requests GET '/v1/adapters/{name}/files/{path*}')" = 0 ] || fail "it asks for files"
    [ "$(($(requests GET /v1/tree) - $1))" -le $((5 + 5 * (SECONDS + 1))) ] || fail "it asks often"
}
listed "$(requests GET /v1/tree)"

mkdir "$MODEL/task"
echo first >"$MODEL/task/prompt"
ls -lR "$MODEL" >/dev/null

line cut
wait_status task '^stale: the daemon has been away for [0-9]+ s; nothing was served$'
is_stale() {
    ls -l "$MODEL/task" | grep -q prompt && grep -q 'what is listed is stale' "$WORK/mount.log"
}
wait_until 10 is_stale
echo second >"$WORK/second"
cp "$WORK/second" "$MODEL/task/prompt" &
writer=$!
mkdir "$MODEL/other" &
maker=$!
cat "$MODEL/task/settings" >"$WORK/settings" &
reader=$!
# They wait: by the time that a call that does not wait has failed, none of them has ended.
wait_status task '^stale: the daemon has been away for [1-9][0-9]* s'
kill -0 $writer $maker $reader
[ "$(near /v1/adapters/task/files/prompt)" = first ]
line heal
wait $writer
[ "$(near /v1/adapters/task/files/prompt)" = second ]
wait $maker
near /v1/adapters/other >/dev/null
[ "$(requests POST /v1/adapters)" = 122 ]
wait $reader
near /v1/adapters/task/files/settings | cmp - "$WORK/settings"

# A cable that is pulled: nothing is refused, nothing comes.
ls -lR "$MODEL" >/dev/null # after a change a listing would wait, too
line hold
wait_status task '^stale: the daemon has been silent for [0-9]+ s'
cp "$WORK/settings" "$MODEL/task/config.json" &
writer=$!
wait_status task '^stale: the daemon has been silent for [3-9][0-9]* s'
kill -0 $writer
line heal
wait $writer
near /v1/adapters/task/files/config.json | cmp - "$WORK/settings"
stop_mount

# As long as an option says, and no longer; with an errno that says what it is.
mount_far -o wait=1,timeout=1 # as fstab has them
ls "$MODEL" >/dev/null
line cut
refuses cp "$WORK/second" "$MODEL/task/prompt"
refused_with 'Connection refused'
line heal
wait_until 20 cp "$WORK/second" "$MODEL/task/prompt" || fail "it is not back"
line hold
refuses cp "$WORK/second" "$MODEL/task/prompt"
refused_with 'timed out'
line heal
stop_mount

# A large file is read ahead in blocks, of which many are under way at once; after a cut in its
# midst what had come is not asked for again.
mount_far --wait 60 --timeout 5
mkdir "$MODEL/large"
"${PYTHON:-python3}" -c 'for i in range(60000):
    print("{\"prompt\": \"%0250d\", \"completion\": \" %0100d\"}" % (i, i))' >"$WORK/rows"
near /v1/adapters/large/files/eval.jsonl -T "$WORK/rows" >/dev/null
bytes=$(stat -c %s "$WORK/rows")
# costs COMMAND...: the requests for files, and the bytes, that it took from the daemon.
costs() {
    local before down
    before=$(requests GET '/v1/adapters/{name}/files/{path*}')
    down=$(line_count 3)
    "$@"
    REQUESTS=$(($(requests GET '/v1/adapters/{name}/files/{path*}') - before))
    DOWN=$(($(line_count 3) - down))
}
costs cmp "$WORK/rows" "$MODEL/large/eval.jsonl"
[ $REQUESTS -le 60 ] || fail "$REQUESTS requests for $bytes bytes"
read_through_cut() {
    cut_after $((bytes / 2))
    cmp "$WORK/rows" "$MODEL/large/eval.jsonl" &
    await_cut
    kill -0 $! && line heal
    wait $!
}
costs read_through_cut
# Under way at the cut is at most what the mount has ahead, and what sockets hold.
[ $DOWN -le $((bytes + (20 << 20))) ] || fail "$DOWN bytes came for $bytes"

# The same the other way: it is sent while it is written, goes on after a cut, and is taken in once.
# (What the daemon had not read when the line was cut is sent again: what sockets hold.)
write_through_cut() {
    cut_after $((bytes / 2))
    cp "$WORK/rows" "$MODEL/large/dataset.jsonl" &
    await_cut
    kill -0 $! && line heal
    wait $!
}
up=$(line_count 2)
puts=$(requests PUT '/v1/adapters/{name}/files/{path*}')
write_through_cut
up=$(($(line_count 2) - up))
near /v1/adapters/large/files/dataset.jsonl | cmp - "$WORK/rows"
[ $up -le $((bytes + (12 << 20))) ] || fail "$up bytes went for $bytes"
[ "$(requests PUT '/v1/adapters/{name}/files/{path*}')" = $((puts + 1)) ]
[ -z "$(ls "$DATA/incoming")" ]
