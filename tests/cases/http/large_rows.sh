# Data sets are on disk: a training of 20 times the rows takes no more of memory, and goes on in a
# control group that has less than they would need.
. "$TEST_LIB/http.sh"
[ -z "${SANITIZE:-}" ] || skip "sanitizers keep what was freed"
MB_MORE=8 # the order of the rows, and a table of those that may be equal

"${PYTHON:-python3}" - "$WORK" <<'END'
import sys
for name, n in (("few", 4500), ("many", 90000)):
    with open(f"{sys.argv[1]}/{name}.jsonl", "w", encoding="utf-8") as f:
        for i in range(n):
            words = "red green blue " * 12
            f.write(f'{{"prompt": "Item {i}: {words}is", "completion": " {i % 7}"}}\n')
END

# peak NAME: in a daemon of its own, MB of anonymous memory at the most until NAME is trained.
peak() {
    DATA=$WORK/data-$1
    serve --kv-tokens 4096
    "${PYTHON:-python3}" - "$DAEMON" "$WORK/peak" <<'END' &
import sys, time
peak = 0
while True:
    try:
        with open(f"/proc/{sys.argv[1]}/status", encoding="utf-8") as f:
            now = [int(line.split()[1]) for line in f if line.startswith("RssAnon")]
            peak = max([peak] + now)
    except OSError:
        break
    with open(sys.argv[2], "w", encoding="utf-8") as f:
        f.write(str(peak // 1024))
    time.sleep(0.01)
END
    new_adapter "$1"
    put "$1" dataset.jsonl "$WORK/$1.jsonl" '?train=1' >/dev/null
    await "$1" '^ready v1$'
    [ -z "$(ls "$DATA"/adapters/1/jobs)" ] || fail "the job's files are left over"
    stop_daemon
    wait
    cat "$WORK/peak"
}
few=$(peak few)
many=$(peak many)
say "$few MB, then $many MB"
[ "$many" -le $((few + MB_MORE)) ] || fail "memory grows with the rows: $few MB, then $many MB"

# A control group: most machines let only root make one.
group=/sys/fs/cgroup/memory/lorafs-$$ file=memory.limit_in_bytes
[ -d /sys/fs/cgroup/memory ] || group=/sys/fs/cgroup/lorafs-$$ file=memory.max
mkdir "$group" 2>/dev/null || exit 0
at_end() { rmdir "$group"; }
echo $(((many + 24) << 20)) >"$group/$file" 2>/dev/null || exit 0
DATA=$WORK/grouped
(
    echo "$BASHPID" >"$group/cgroup.procs"
    exec "$BIN/lorafsd" --base "$BASE" --data "$DATA" --listen 127.0.0.1:0 --device "$DEVICE" \
        --kv-tokens 4096 2>"$WORK/daemon.log"
) &
DAEMON=$!
wait_until 60 listens || fail "the daemon does not answer"
URL=http://$ADDRESS
limit=$(((many + 24) << 20)) # of which half is --host-memory, and half of that for rows
metric_is row_memory_max_bytes $((limit / 2 / 2)) ||
    fail "the group's limit is not seen: $(metric row_memory_max_bytes)"
new_adapter many
put many dataset.jsonl "$WORK/many.jsonl" '?train=1' >/dev/null
await many '^ready v1$'
stop_daemon
