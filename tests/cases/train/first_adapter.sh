# The page for newcomers: its commands do what it says, and are those that tools/first-adapter runs.
. "$TEST_LIB/common.sh"
[ -r /dev/fuse ] && [ -w /dev/fuse ] || skip "there is no /dev/fuse for us"
# The page's daemon listens where all do; here alone, where that can be had.
alone='ip link set lo up 2>/dev/null && exec "$@"'
if [ -z "${LF_ALONE:-}" ] && unshare -n bash -c "$alone" - true 2>/dev/null; then
    LF_ALONE=yes exec unshare -n bash -c "$alone" - bash -e "$0"
fi
"$LF_SOURCE/tools/first-adapter" "$BIN" "$WORK/page.md"
commands() { grep '^\$ ' "$1"; }
[ "$(commands "$WORK/page.md")" = "$(commands "$LF_SOURCE/docs/first-adapter.md")" ]
[ "$(commands "$WORK/page.md" | wc -l)" = 10 ]
for page in "$WORK/page.md" "$LF_SOURCE/docs/first-adapter.md"; do
    grep -q '^talk ready v1$' "$page"
    grep -q 'I am well, thank you' "$page"                    # run
    grep -q 'Good day! What shall we talk about' "$page"      # chat
    grep -q '^adapter_model.safetensors$' "$page"             # export
done
