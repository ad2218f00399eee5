# Two hundred writers and readers at once: every write that was closed is there, no reader sees a
# piece of one, writers of the same file do not make each other fail, and nobody is left waiting.
# (LF_TEST_ROUNDS: more of it.)
. "$TEST_LIB/common.sh"
start_daemon --train-tokens 0
start_mount
check adapters "$SOCK" 100
ls "$MODEL" >/dev/null
check crowd "$MODEL" 100 "${LF_TEST_ROUNDS:-10}"
ls "$MODEL" | wc -l | grep -x 100 >/dev/null
