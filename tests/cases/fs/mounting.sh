# Mounting: in the background, read-only, over a dead mount, never over a living one; unmounting.
. "$TEST_LIB/common.sh"
start_daemon
lorafs=$BIN/lorafs

"$lorafs" mount --log "$WORK/background.log" "unix:$SOCK" "$MNT"
grep -q "$MNT fuse.lorafs" /proc/mounts || fail "no fuse.lorafs in /proc/mounts"
mkdir "$MODEL/task"
refuses "$lorafs" mount "unix:$SOCK" "$MNT"
refused_with already
cd "$MNT"
refuses "$lorafs" umount "$MNT"
"$lorafs" umount --lazy "$MNT"
cd /
refuses "$lorafs" umount "$MNT"

# A relative socket outlives the change into the background's directory.
cd "$DATA"
"$lorafs" mount -o ro ./lorafsd.sock "$MNT"
cd /
[ "$(ls "$MODEL")" = task ]
refuses mkdir "$MODEL/other"
refused_with 'Read-only'
"$lorafs" umount "$MNT"

start_mount
end_process "$MOUNT"
MOUNT=
refuses ls "$MNT"
refused_with 'not connected'
start_mount
[ "$(ls "$MODEL")" = task ]
[ "$(grep -c "$MNT fuse.lorafs" /proc/mounts)" = 1 ]
stop_mount
[ -z "$(ls "$MNT")" ]

# Without a daemon there is a tree all the same.
stop_daemon
start_mount
ls "$MNT" | grep -q README
refuses ls "$MODEL"
refuses "$lorafs" mount /no-socket "$WORK/missing"
refuses "$lorafs" mount nonsense "$WORK"
refuses "$lorafs" mount -o nonsense "unix:$SOCK" "$WORK"
refuses "$lorafs" mount "unix:$SOCK" "$WORK/refused"
