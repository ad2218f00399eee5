# Who reads a file while it is replaced has the old bytes or the new ones, never a mix: past the
# mount, through it, and while a writer is in the middle of it. Old bytes that are gone are ESTALE.
. "$TEST_LIB/common.sh"
start_daemon --train-tokens 0
start_mount
check adapters "$SOCK" 1
FILE=$MODEL/a0000/dataset.jsonl
rows 16000 red >"$WORK/red"
rows 24000 blue >"$WORK/blue"
cp "$WORK/red" "$FILE"
check replaced_under_a_reader "$SOCK" "$FILE" "$WORK/red" "$WORK/blue"
check replaced_again_and_again "$SOCK" "$FILE" "$WORK/red" "$WORK/blue" 12

# What a daemon kept for its readers is gone with it.
cp "$WORK/red" "$FILE"
exec 3<"$FILE"
head -c 1000 <&3 | cmp -n 1000 - "$WORK/red"
stop_daemon
start_daemon --train-tokens 0
cp "$WORK/blue" "$FILE"
refuses cat <&3
refused_with 'Stale file handle'
exec 3<&-
cmp "$WORK/blue" "$FILE"
