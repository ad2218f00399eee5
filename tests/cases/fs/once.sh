# A cp onto dataset.jsonl is one upload, and what close has acknowledged trains, whatever dies then.
. "$TEST_LIB/common.sh"
start_daemon
start_mount
puts() { grep -c "PUT /v1/adapters/$1/files/dataset.jsonl" "$WORK/daemon.log" || true; }

make_adapter calm
rows 6 red >"$WORK/train.jsonl"
cp "$WORK/train.jsonl" "$MODEL/calm/dataset.jsonl"
wait_status calm '^ready v1$'
[ "$(puts calm)" = 1 ] || fail "$(puts calm) uploads"

# Nor is an fsync anything less: it is there, though the file is still open.
make_adapter synced
"${PYTHON:-python3}" -c 'import os, sys, time
f = open(sys.argv[2], "wb")
f.write(open(sys.argv[1], "rb").read())
f.flush()
os.fsync(f.fileno())
open(sys.argv[3], "w").close()
time.sleep(1000)' "$WORK/train.jsonl" "$MODEL/synced/dataset.jsonl" "$WORK/fsynced" &
wait_until 20 test -e "$WORK/fsynced" || fail "fsync does not end"

# Nothing has time to follow the close: both are killed at once.
make_adapter hurried
cp "$WORK/train.jsonl" "$MODEL/hurried/dataset.jsonl" && kill -KILL "$MOUNT" "$DAEMON"
wait "$MOUNT" 2>/dev/null || true
wait "$DAEMON" 2>/dev/null || true
MOUNT= DAEMON=
umount -l "$MNT"
start_daemon
start_mount
wait_status hurried '^ready v1$'
cmp "$WORK/train.jsonl" "$MODEL/hurried/dataset.jsonl"
wait_status synced '^ready v1$'
cmp "$WORK/train.jsonl" "$MODEL/synced/dataset.jsonl"

# A disk that is too small for what is copied: cp fails, and nothing of it is taken.
stop_mount
mkdir "$WORK/small"
mount -t tmpfs -o size=1m none "$WORK/small" 2>/dev/null || exit 0 # not allowed here
at_end() { umount -l "$WORK/small"; }
TMPDIR=$WORK/small start_mount
make_adapter big
rows 40000 blue >"$WORK/big.jsonl"
refuses cp "$WORK/big.jsonl" "$MODEL/big/dataset.jsonl"
[ ! -e "$MODEL/big/dataset.jsonl" ]
stays big '^empty$'
