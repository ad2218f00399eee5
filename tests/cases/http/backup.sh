# A backup while the daemon trains, a second that copies what changed, and a data directory made of
# it that answers the same; bytes that changed in the backup are refused.
. "$TEST_LIB/common.sh"
export LORAFS_URL=$SOCK
start_daemon
settings 2 8 >"$WORK/config.json"
rows 4 blue >"$WORK/rows.jsonl"
train() { "$BIN/lorafs" train "$1" "$WORK/rows.jsonl" -c "$WORK/config.json"; }
answer() { echo "Item 3 is" | "$BIN/lorafs" run "$1"; }
backup() { "$BIN/lorafs" backup "$WORK/backup" --data "$DATA"; }
train one
"$BIN/lorafs" wait one
before=$(answer one)
settings 100000 >"$WORK/config.json"
train long # under way while the backup is made
backup
"$BIN/lorafs" cancel long
[ "$(find "$DATA" -name 'snapshot.tmp-*' | wc -l)" = 0 ]

objects=$(find "$WORK/backup/objects" -type f | wc -l)
settings 2 8 >"$WORK/config.json"
train two
"$BIN/lorafs" wait two
backup >"$WORK/second"
copied=$(sed 's/.*copied \([0-9]*\) files.*/\1/' "$WORK/second")
say "$(cat "$WORK/second")"
[ "$copied" -lt $((objects + 12)) ]
[ "$(find "$WORK/backup/objects" -type f | wc -l)" = $((objects + copied)) ]
backup | grep -q "copied [0-3] files" # the log, the store
refuses "$BIN/lorafs" restore "$WORK/backup" "$DATA"
stop_daemon

"$BIN/lorafs" restore "$WORK/backup" "$WORK/restored"
"$BIN/lorafs" fsck "$WORK/restored"
for name in adapter_model.safetensors adapter_config.json; do
    cmp "$DATA/adapters/1/versions/1/$name" "$WORK/restored/adapters/1/versions/1/$name"
done
first=$(ls "$WORK/backup/sets" | head -n 1)
"$BIN/lorafs" restore "$WORK/backup" "$WORK/first" --set "$first"
[ -e "$WORK/first/adapters/2/jobs" ]

sum=$(sha256sum "$DATA/adapters/1/versions/1/adapter_model.safetensors" | cut -c 1-64)
printf x | dd of="$WORK/backup/objects/${sum:0:2}/${sum:2}" bs=1 seek=5000 conv=notrunc status=none
refuses "$BIN/lorafs" restore "$WORK/backup" "$WORK/bad"
refused_with "is damaged, which was adapters/1/versions/1/adapter_model.safetensors"
[ ! -e "$WORK/bad" ]

find "$WORK/backup" "$WORK/restored" -perm /077 >"$WORK/open"
[ ! -s "$WORK/open" ] || fail "others can read $(head -n 3 "$WORK/open")"
DATA=$WORK/restored
SOCK=$DATA/lorafsd.sock
export LORAFS_URL=$SOCK
start_daemon
[ "$(answer one)" = "$before" ]
"$BIN/lorafs" status two | grep -q "^ready v1"
