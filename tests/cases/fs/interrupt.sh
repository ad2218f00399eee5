# Ctrl-C, a closed pipe and a timeout end a reader at once, and its generation in the daemon.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task 2 1900
rows 2 red >"$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
echo 'Once upon a time' >"$MODEL/task/prompt"
cancelled() {
    wait_until 20 "${PYTHON:-python3}" "$TEST_LIB/checks.py" metric "$MNT/metrics" \
        'lorafs_generations_total{finish="cancelled"}' "$1" || fail "not $1 generations cancelled"
}
check interrupted "$MODEL/task/generate" SIGINT 100
cancelled 1
check interrupted "$MODEL/task/generate" SIGKILL 100
cancelled 2
cat "$MODEL/task/generate" | head -c 3 >/dev/null
cancelled 3
timeout 0.3 cat "$MODEL/task/generate" >/dev/null || true
cancelled 4
