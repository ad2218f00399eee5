# A release has the same bytes each time it is made. Of its Debian packages lintian finds no error,
# they install into a bare Debian 12, and the service that systemd starts there trains and serves as
# its own user, within the bounds of its unit.
. "$TEST_LIB/common.sh"
need dh dpkg-buildpackage lintian debootstrap systemd-nspawn nsenter git
[ "$(id -u)" = 0 ] || skip "only root may bootstrap a system"
[ -f "$BUILD_DIR/tools/cmake_install.cmake" ] || skip "this build installs nothing"

# A commit of the tree as it is; the build is the one under test.
TREE=$WORK/lorafs
mkdir "$TREE"
(cd "$LF_SOURCE" && git ls-files -z --cached --others --exclude-standard |
    tar --null -T - --ignore-failed-read -cf - 2>/dev/null) | tar -x -C "$TREE"
git -C "$TREE" init -q
git -C "$TREE" add -A
git -C "$TREE" -c user.name=test -c user.email=test@lorafs.invalid commit -q -m "as it is"
release() { # packed lightly: what is compared is what went in
    DEB_BUILD_OPTIONS=noautodbgsym DPKG_DEB_COMPRESSOR_LEVEL=0 \
        "$TREE/tools/release" --build "$BUILD_DIR" "$1" \
        >"$WORK/release.log" 2>&1 || fail "$(tail -n 20 "$WORK/release.log")"
}

# ---- A release: the same bytes again, of a tree without changes, into a place of its own.
release "$WORK/made"
(umask 077 && TZ=Asia/Tokyo release "$WORK/again")
(cd "$WORK/again" && sha256sum -c --quiet "$WORK/made/SHA256SUMS")
[ "$(wc -l <"$WORK/made/SHA256SUMS")" = 5 ] # source, chart, three packages
tar -xzf "$WORK"/made/*.tar.gz -C "$WORK" --wildcards '*/.git_archival.txt' --strip-components 1
grep -q "^node: $(git -C "$TREE" rev-parse HEAD)\$" "$WORK/.git_archival.txt"
refuses "$TREE/tools/release" "$WORK/made"
refused_with 'has files already'
touch "$TREE/stray"
refuses "$TREE/tools/release" "$WORK/other"
refused_with 'no commit has'
mv "$WORK"/made/*.deb "$WORK"
lintian --no-cfg --fail-on error,warning "$WORK"/*.deb >"$WORK/lintian.log" 2>&1 ||
    fail "$(cat "$WORK/lintian.log")"

# ---- A bare Debian 12, booted.
# It is in memory, where none of dpkg's thousand fsyncs waits for a disk.
SYSTEM=$WORK/system
mkdir "$SYSTEM"
mount -t tmpfs -o mode=755,size=3g lorafs-test "$SYSTEM" || skip "nothing may be mounted here"
at_end() { umount -l "$SYSTEM"; }
debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,curl bookworm "$SYSTEM" \
    >"$WORK/debootstrap.log" 2>&1 || skip "no Debian: $(tail -n 1 "$WORK/debootstrap.log")"
cp "$WORK"/*.deb "$SYSTEM/tmp"
chroot "$SYSTEM" env DEBIAN_FRONTEND=noninteractive bash -euc '
    apt-get install -y -q --no-install-recommends /tmp/lorafs_*.deb /tmp/lorafs-*.deb
    apt-get purge -y -q lorafs lorafs-common
    [ ! -e /etc/lorafs ]
    apt-get install -y -q --no-install-recommends /tmp/lorafs_*.deb /tmp/lorafs-common_*.deb' \
    >"$WORK/install.log" 2>&1 || fail "$(tail -n 20 "$WORK/install.log")"

systemd-nspawn -D "$SYSTEM" --register=no --keep-unit --private-network --bind=/dev/fuse --boot \
    --console=pipe >"$WORK/boot.log" 2>&1 </dev/null &
NSPAWN=$!
disown "$NSPAWN" # killed, it would leave the system behind
first_process() { pgrep -P "$NSPAWN" | head -n 1; }
has_ended() { ! kill -0 "$NSPAWN"; }
at_end() {
    kill -TERM "$NSPAWN" # which has the system shut down
    wait_until 20 has_ended || kill -KILL "$(first_process)"
    wait_until 20 has_ended || true
    umount -l "$SYSTEM"
}
inside() { nsenter -t "$(first_process)" -a "$@"; }
booted() { inside systemctl is-system-running | grep -E 'running|degraded'; }
wait_until 60 booted || skip "it does not boot here: $(tail -n 5 "$WORK/boot.log")"

# ---- The service. `start` returns when it serves.
inside systemctl start lorafsd || fail "$(inside journalctl -u lorafsd --no-pager | tail -n 20)"
inside curl -sf http://localhost:8080/health | grep -c '"ok"'
pid=$(inside systemctl show -p MainPID --value lorafsd)
[ "$(inside stat -c %U "/proc/$pid")" = lorafs ]
[ "$(inside stat -c '%U %a' /var/lib/lorafs)" = 'lorafs 700' ]
exposure=$(inside systemd-analyze security lorafsd --no-pager |
    sed -n 's/.*exposure level.*: \([0-9.]*\) .*/\1/p')
awk -v e="$exposure" 'BEGIN { exit !(e > 0 && e < 3) }' || fail "exposure $exposure"

rows 8 red >"$SYSTEM/root/rows.jsonl"
echo '{"rank": 4, "steps": 12, "batch_size": 2, "max_length": 32, "learning_rate": 0.003}' \
    >"$SYSTEM/root/config.json"
socket=/var/lib/lorafs/lorafsd.sock
inside lorafs train --url "$socket" --config /root/config.json task /root/rows.jsonl
inside lorafs wait --url "$socket" -q task
inside curl -sf http://localhost:8080/v1/completions \
    -d '{"model": "task", "prompt": "a", "max_tokens": 4}' | grep -c '"choices"'
[ "$(stat -c %u "$SYSTEM/var/lib/lorafs/adapters")" = "$(inside id -u lorafs)" ]

# Reload reads certificates anew, where there are some, and ends nothing.
inside systemctl reload lorafsd
inside curl -sf http://localhost:8080/health >"$WORK/health"
[ "$(inside systemctl show -p MainPID --value lorafsd)" = "$pid" ]

# A key that the service's user makes counts at once.
key=$(inside runuser -u lorafs -- lorafs key add alice --data /var/lib/lorafs)
refuses inside curl -sf http://localhost:8080/v1/models
inside curl -sf -H "Authorization: Bearer $key" http://localhost:8080/v1/models | grep -c '"task"'

# The mount comes and goes with its unit.
if inside test -c /dev/fuse; then
    inside systemctl start lorafs-mount
    wait_until 20 inside test -s /mnt/lorafs/model/task/status
    inside systemctl stop lorafs-mount
fi
inside systemctl stop lorafsd
[ "$(inside systemctl show -p Result --value lorafsd)" = success ]
