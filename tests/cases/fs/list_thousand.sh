# ls -lR over a thousand adapters takes less than a second; every path has its own lasting number.
. "$TEST_LIB/common.sh"
n=1000
[ -z "${SANITIZE:-}" ] || n=100 # a second is what the optimised build is held to
start_daemon
start_mount
check adapters "$SOCK" $n
wait_until 10 test -d "$MODEL/$(printf a%04d $((n - 1)))" || fail "not all are there"
check listing "$MNT" $((9 * n)) 1.0
check stable_inodes "$MNT"
