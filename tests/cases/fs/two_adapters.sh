# Two adapters of one base answer at the same time, each with what it has learnt.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

for word in red blue; do
    make_adapter $word 12
    echo 'Item 3 is' >"$MODEL/$word/prompt"
    rows 16 $word >"$MODEL/$word/dataset.jsonl"
done
for word in red blue; do
    wait_status $word '^ready v1$' 120
done
for word in red blue red blue; do
    cat "$MODEL/$word/generate" >>"$WORK/$word" &
    readers="${readers:-} $!"
done
for reader in $readers; do
    wait "$reader"
done
grep -q red "$WORK/red" || fail "red says $(cat "$WORK/red")"
grep -q blue "$WORK/blue" || fail "blue says $(cat "$WORK/blue")"
