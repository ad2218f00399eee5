# A writer that is killed closes like any other; what it wrote is not taken for a data set.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task
rows 4 red >"$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'

# killed SIGNAL TEXT: a writer that dies after TEXT.
written() { [ "$(stat -c %s "$MODEL/task/dataset.jsonl")" = $((${#1} + 1)) ]; }

killed() {
    local writer
    mkfifo "$WORK/pipe"
    cat "$WORK/pipe" >"$MODEL/task/dataset.jsonl" &
    writer=$!
    exec 3>"$WORK/pipe"
    echo "$2" >&3
    wait_until 10 written "$2" || fail "nothing was written"
    kill "-$1" "$writer"
    wait "$writer" || true
    exec 3>&-
    rm "$WORK/pipe"
    sleep 0.5
    [ "$(cat "$MODEL/task/dataset.jsonl")" = "$(rows 4 red)" ] || fail "$1: the file has changed"
    [ "$(versions_of task)" = 1 ] || fail "$1: it was trained"
}
killed KILL "$(rows 2 green)"$'\n{"prompt": "cut o'
killed TERM "$(rows 2 green)"$'\n{"prompt": "cut o'
killed KILL "$(rows 2 green)" # cut off between lines: whole, as far as one can see

rows 3 blue >"$MODEL/task/dataset.jsonl"
wait_status task '^ready v2$'
