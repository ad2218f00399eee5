# Kills of daemon, mount and both under a mixed load lose nothing acknowledged.
. "$TEST_LIB/common.sh"
"${PYTHON:-python3}" "$LF_SOURCE/tests/torture/torture.py" --bin "$BIN" --base "$BASE" \
    --seconds 8 --writers 3 --seed "${LF_TEST_SEED:-$RANDOM}" >"$WORK/figures"
cat "$WORK/figures" >&2
grep -q '"lost": 0' "$WORK/figures"
