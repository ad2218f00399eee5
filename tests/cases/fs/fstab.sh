# mount.fuse3, which mount -t fuse.lorafs runs, and a line of fstab mount the tree; among FUSE's
# options may be ours. (mount(8) looks for the program in the system's directories alone, so the
# line of fstab names it here.)
. "$TEST_LIB/common.sh"
need mount.fuse3 fusermount3 mount
[ "$(id -u)" = 0 ] || skip "mount(8) wants root"
echo sesame >"$WORK/key"
start_daemon --api-key-file "$WORK/key"
[ -w /dev/fuse ] || skip "there is no /dev/fuse for us"
options=api-key-file=$WORK/key,log=$WORK/mount.log

PATH=$BIN:$PATH mount.fuse3 "unix:$SOCK" "$MNT" -t fuse.lorafs -o "ro,$options"
wait_until 20 is_mounted || fail "nothing is mounted"
grep -q " $MNT fuse.lorafs ro," /proc/mounts
[ "$(ls "$MODEL" | wc -l)" = 0 ]
umount "$MNT"

echo "$BIN/lorafs#unix:$SOCK $MNT fuse noauto,nofail,user,_netdev,$options 0 0" >"$WORK/fstab"
mount -T "$WORK/fstab" "$MNT"
wait_until 20 is_mounted || fail "nothing is mounted"
mkdir "$MODEL/task"
"$BIN/lorafs" ls --url "$SOCK" --api-key-file "$WORK/key" | grep -cx task
umount "$MNT"

refuses "$BIN/lorafs" mount "unix:$SOCK" "$MNT" -o log-level=loud
refused_with 'debug|info|warn|error'
