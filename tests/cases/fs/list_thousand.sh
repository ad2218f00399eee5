# ls -lR over a thousand adapters takes less than a second; every path has its own lasting number.
. "$TEST_LIB/common.sh"
start_daemon
start_mount
check adapters "$SOCK" 1000
wait_until 10 test -d "$MODEL/a0999" || fail "not all are there"
check listing "$MNT" 9000 1.0
check stable_inodes "$MNT"
