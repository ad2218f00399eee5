# Sourced by cases whose daemon is far away: http.sh, a daemon over TLS, and a line between it and
# the mount, 10 ms each way (tests/lib/line.py).
. "$TEST_LIB/http.sh"
need openssl

CERTIFICATE=$WORK/tls.pem

listens() { # instead of http.sh's
    ADDRESS=$(sed -n 's/.* listening on \(127[0-9.:]*\) (TLS) .*/\1/p' "$WORK/daemon.log")
    [ -n "$ADDRESS" ] && curl -sf --cacert "$CERTIFICATE" "https://$ADDRESS/health" >/dev/null
}

serve_far() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=far \
        -addext 'subjectAltName=IP:127.0.0.1' -keyout "$WORK/tls.key" -out "$CERTIFICATE" \
        2>/dev/null
    serve --train-tokens 0 --tls-cert "$CERTIFICATE" --tls-key "$WORK/tls.key" "$@"
    coproc LINE {
        exec "${PYTHON:-python3}" "$LF_SOURCE/tests/lib/line.py" "$WORK/line" "$ADDRESS" \
            2>>"$WORK/line.log"
    }
    wait_until 20 test -e "$WORK/line" || fail "there is no line"
    FAR=https://127.0.0.1:$(cat "$WORK/line")
}

# line ORDER: what lib/line.py answers is in SAID.
line() {
    echo "$*" >&"${LINE[1]}"
    read -r SAID <&"${LINE[0]}"
}

# line_count FIELD: 1 connections, 2 bytes up, 3 bytes down, 4 cuts.
line_count() {
    line count
    echo "$SAID" | cut -d ' ' -f "$1"
}

# cut_after BYTES: the line is cut once so many more have gone over it. await_cut: until it was.
cut_after() {
    CUTS=$(line_count 4)
    line cut "$1"
}
was_cut() { [ "$(line_count 4)" -gt "$CUTS" ]; }
await_cut() { wait_until 60 was_cut || fail "the line was not cut"; }

# mount_far [OPTION...]
mount_far() {
    [ -r /dev/fuse ] && [ -w /dev/fuse ] || skip "there is no /dev/fuse for us"
    "$BIN/lorafs" mount --foreground --cacert "$CERTIFICATE" "$@" "$FAR" "$MNT" \
        2>>"$WORK/mount.log" &
    MOUNT=$!
    wait_until 60 is_mounted || fail "nothing is mounted"
}

# near PATH [CURL ARGUMENT...]: asks the daemon itself, by its socket.
near() { curl -sSf --unix-socket "$SOCK" "http://near$1" "${@:2}"; }

# requests METHOD ROUTE: how many of them the daemon has answered.
requests() {
    near /metrics | awk -v want="method=\"$1\",route=\"$2\"" \
        'index($0, "http_requests_total{") && index($0, want) { n += $2 } END { print n + 0 }'
}
