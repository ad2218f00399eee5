# Power cuts lose nothing acknowledged: disks that a recorded load may have left are started on. A
# disk that ignores fsync does lose, and that is seen.
. "$TEST_LIB/common.sh"
[ -z "${SANITIZE:-}" ] || skip "a sanitizer's runtime cannot be preloaded beside ours"
cuts() {
    "${PYTHON:-python3}" "$LF_SOURCE/tests/torture/power.py" --bin "$BIN" --base "$BASE" \
        --seconds 0.8 --seed "${LF_TEST_SEED:-$RANDOM}" "$@"
}
cuts --cuts 8 >"$WORK/figures" || fail "$(cat "$WORK/figures")"
cat "$WORK/figures" >&2
grep -q '"lost": 0' "$WORK/figures"
refuses cuts --cuts 20 --enough 1 --deaf
refused_with LOST
