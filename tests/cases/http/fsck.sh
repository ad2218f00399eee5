# A data directory is checked while no daemon has it: what was damaged is named and mended, and the
# rest answers as before.
. "$TEST_LIB/common.sh"
export LORAFS_URL=$SOCK
fsck_is() { # STATUS ARGS...
    local status=0 want=$1
    shift
    "$BIN/lorafs" fsck "$DATA" "$@" >"$WORK/fsck" 2>&1 || status=$?
    [ $status = "$want" ] || fail "fsck $*: status $status, not $want: $(cat "$WORK/fsck")"
}
start_daemon
settings 2 8 >"$WORK/config.json"
rows 4 blue >"$WORK/rows.jsonl"
for name in one two; do
    "$BIN/lorafs" train $name "$WORK/rows.jsonl" -c "$WORK/config.json"
    "$BIN/lorafs" wait $name
done
fsck_is 8
grep -q "in use by a daemon" "$WORK/fsck"
before=$(echo "Item 3 is" | "$BIN/lorafs" run two)
stop_daemon
fsck_is 0
(cd "$DATA/adapters/1/versions/1" && sha256sum -c --quiet sha256sums)

damage() { dd of="$DATA/$1" bs=1 seek="$2" conv=notrunc status=none; }
printf 'x' | damage adapters/1/versions/1/adapter_model.safetensors 9000
head -c 5000 /dev/urandom | damage state/data.mdb 100
printf '{"torn' >>"$DATA/adapters/2/log.jsonl"
fsck_is 4
fsck_is 4 --json
"${PYTHON:-python3}" - "$WORK/fsck" <<'P'
import json, sys
said = json.load(open(sys.argv[1]))
where = {p["where"] for p in said["problems"]}
assert {"adapters/1/versions/1", "state/data.mdb", "adapters/2/log.jsonl"} <= where, where
assert said["left"] == len(said["problems"])
P
fsck_is 1 --repair
fsck_is 0

start_daemon
[ "$(echo "Item 3 is" | "$BIN/lorafs" run two)" = "$before" ]
refuses "$BIN/lorafs" status one >"$WORK/status" # it failed: its only version is in the trash
grep -q "version 1 is not on the disk" "$WORK/status" || fail "$(cat "$WORK/status")"
refuses "$BIN/lorafs" fsck "$WORK/nothing"
