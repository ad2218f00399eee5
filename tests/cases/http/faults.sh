# A call of the disk fails under what a daemon is asked: what it answered is what is found then, and
# no version is taken for lost. A store that is not written for long ends the daemon with a status
# that is not 0. (All calls: tools/torture.) The same where a disk is full but for some room.
. "$TEST_LIB/common.sh"
[ -z "${SANITIZE:-}" ] || skip "a sanitizer's runtime cannot be preloaded beside ours"
sweep() {
    "${PYTHON:-python3}" "$LF_SOURCE/tests/torture/sweep.py" --bin "$BIN" --base "$BASE" \
        --seed "${LF_TEST_SEED:-1}" "$@" >"$WORK/figures" || fail "$(cat "$WORK/figures")"
    tail -n 1 "$WORK/figures" >&2
}
sweep --acts give_up
sweep --acts bring_back --kinds look,list --stride 15
sweep --acts write_prompt --kinds write,sync,rename --stride 7
sweep --acts train,remove_version,forget_it,roll_back --stride 60
mkdir "$WORK/small"
mount -t tmpfs -o size=1m none "$WORK/small" 2>/dev/null || exit 0 # not allowed here
umount "$WORK/small"
sweep --acts make_another,write_prompt,rename_it,remove_it --rooms 0,8,32
