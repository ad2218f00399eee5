# The calls of POSIX as pjdfstest goes through them, by category: what applies is done, what a user
# may not is refused, and errors are those of any file system (docs/posix.md has what does not).
. "$TEST_LIB/common.sh"
[ "$(id -u)" = 0 ] || skip "only root can be another user, and let others in"
start_daemon --train-tokens 0
start_mount -o allow_other
chmod 755 "$WORK" # for the other user
mkdir "$MODEL/task" "$MODEL/other"
echo hello >"$MODEL/task/prompt"
"${PYTHON:-python3}" "$TEST_LIB/../fs/posix.py" "$MODEL" || fail "posix.py"
