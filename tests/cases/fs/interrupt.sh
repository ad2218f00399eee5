# Ctrl-C, a closed pipe and a signal end a reader at once, and its generation in the daemon.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task 8 1900
endless 4 >"$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
echo 'Item 1 is' >"$MODEL/task/prompt"
cancelled() {
    wait_until 60 "${PYTHON:-python3}" "$TEST_LIB/checks.py" metric "$MNT/metrics" \
        'lorafs_generations_total{finish="cancelled"}' "$1" || fail "not $1 generations cancelled"
}
check interrupted "$MODEL/task/generate" SIGINT
cancelled 1
check interrupted "$MODEL/task/generate" SIGTERM # as of `timeout`
cancelled 2
check interrupted "$MODEL/task/generate" SIGKILL
cancelled 3
cat "$MODEL/task/generate" | head -c 3 >/dev/null || true
cancelled 4
