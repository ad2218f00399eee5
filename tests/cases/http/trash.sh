# A removed adapter comes back from the trash as it was, by a daemon and without one.
. "$TEST_LIB/common.sh"
export LORAFS_URL=$SOCK
start_daemon
settings 2 8 >"$WORK/config.json"
rows 4 blue >"$WORK/rows.jsonl"
"$BIN/lorafs" train one "$WORK/rows.jsonl" -c "$WORK/config.json"
"$BIN/lorafs" wait one
answer() { echo "Item 3 is" | "$BIN/lorafs" run "$1"; }
before=$(answer one)
"$BIN/lorafs" rm one
refuses answer one
"$BIN/lorafs" trash ls | grep -q "one"
[ "$("$BIN/lorafs" trash restore one)" = one ]
[ "$(answer one)" = "$before" ]
# The same rows train nothing again: it knows what it was made of.
"$BIN/lorafs" train one "$WORK/rows.jsonl" && "$BIN/lorafs" wait one
[ "$("$BIN/lorafs" ls -l | grep -c 'v1 .*one$')" = 1 ]

"$BIN/lorafs" rm one
refuses "$BIN/lorafs" trash ls --data "$DATA" # it has a daemon
# Where the directory is the environment's, its daemon is asked while it runs.
[ -n "$(env -u LORAFS_URL LORAFS_DATA="$DATA" "$BIN/lorafs" trash ls)" ]
stop_daemon
[ "$("$BIN/lorafs" trash restore one --as two --data "$DATA")" = two ]
"$BIN/lorafs" fsck "$DATA"
start_daemon
[ "$(answer two)" = "$before" ]
"$BIN/lorafs" rm two
"$BIN/lorafs" trash empty | grep -q "freed"
[ -z "$("$BIN/lorafs" trash ls)" ]
refuses "$BIN/lorafs" trash restore two
