# A disk that takes no version at the end of a training: the training waits, /health says why, also
# after a crash, and it is saved as soon as there is room. On a full disk removing frees some.
. "$TEST_LIB/http.sh"
problems() { call GET /health | grep -q "$1"; }

serve
train one red 12
wait_until 60 test -e "$DATA/adapters/1/jobs/1" || fail "no job"
: >"$DATA/adapters/1/versions" # no directory can be made there
wait_until 120 problems "job 1 of one waits to be saved" || fail "$(call GET /health)"
call GET /v1/adapters/one | grep -q '"state": *"training"' || fail "$(call GET /v1/adapters/one)"
kill_daemon
serve
wait_until 120 problems "job 1 of one waits to be saved" || fail "crash: $(call GET /health)"
rm "$DATA/adapters/1/versions"
await one '^ready v1$'
call GET /health | grep -q '"problems": *\[\]'
stop_daemon

mkdir "$WORK/small"
mount -t tmpfs -o size=24m none "$WORK/small" 2>/dev/null || exit 0 # not allowed here
at_end() { umount -l "$WORK/small"; }
cp -r "$DATA" "$WORK/small/data"
DATA=$WORK/small/data
serve
train two blue 60
wait_until 60 test -e "$DATA/adapters/2/jobs/2" || fail "no job"
dd if=/dev/zero of="$WORK/small/fill" bs=64k 2>/dev/null || true
dd if=/dev/zero of="$WORK/small/rest" bs=1k 2>/dev/null || true
refuses "$BIN/lorafsd" --base "$BASE" --data "$WORK/small/new" --device "$DEVICE" --no-tcp
refused_with 'No space left on device'
rm -rf "$WORK/small/rest" "$WORK/small/new"
wait_until 120 problems "waits to be saved" || fail "it did not wait: $(call GET /health)"
problems "nearly full"
call DELETE /v1/adapters/one >/dev/null # needs room for a page of the store
[ -z "$(ls "$DATA/trash" | grep one)" ] || fail "the trash holds on to it"
rm "$WORK/small/fill"
await two '^ready v1$'
stop_daemon
