# `lorafs serve`: daemon and mount by one command, on new data and on those of the run before (a
# child reads the store then, whose end is not the mount's); it ends with a signal, and when its
# tree is unmounted.
. "$TEST_LIB/common.sh"
[ -r /dev/fuse ] && [ -w /dev/fuse ] || skip "there is no /dev/fuse for us"
begin() {
    "$BIN/lorafs" serve --base "$BASE" --data "$DATA" --device "$DEVICE" --no-tcp --mount "$MNT" \
        2>>"$WORK/daemon.log" 3>&- &
    DAEMON=$!
    wait_until 60 is_mounted || fail "nothing is mounted"
}

begin
mkdir "$MODEL/task"
stop_daemon
begin
[ "$(ls "$MODEL")" = task ]
kill -0 "$DAEMON" || fail "it ended by itself"
"$BIN/lorafs" umount "$MNT"
status=0
wait "$DAEMON" || status=$?
DAEMON=
[ $status = 0 ] || fail "it ended with status $status when its tree was unmounted"
