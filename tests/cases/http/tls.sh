# HTTPS with a certificate; SIGHUP reads another while connections go on; a bad pair changes
# nothing; the command line and the mount trust what they are told to.
. "$TEST_LIB/http.sh"
need openssl
# certificate NAME: NAME.pem and NAME.key, signed by themselves.
certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
        -addext 'subjectAltName=IP:127.0.0.1' -keyout "$WORK/$1.key" -out "$WORK/$1.pem" 2>/dev/null
    chmod 600 "$WORK/$1.key"
}
certificate one
certificate two
cp "$WORK/one.pem" "$WORK/tls.pem"
cp "$WORK/one.key" "$WORK/tls.key"
export CURL_CA_BUNDLE=$WORK/ca.pem
cat "$WORK/one.pem" >"$CURL_CA_BUNDLE"
listens() { # instead of http.sh's
    ADDRESS=$(sed -n 's/.* listening on \(127[0-9.:]*\) (TLS) .*/\1/p' "$WORK/daemon.log")
    [ -n "$ADDRESS" ] && curl -sf "https://$ADDRESS/health" >/dev/null
}
serve --train-tokens 0 --tls-cert "$WORK/tls.pem" --tls-key "$WORK/tls.key"
URL=https://$ADDRESS
new_adapter task
answers_with 200 GET /v1/tree
curl -s "http://$ADDRESS/health" >/dev/null && fail "it speaks plain HTTP, too"
presented() {
    openssl s_client -connect "$ADDRESS" </dev/null 2>/dev/null | openssl x509 -noout -subject
}
[ "$(presented)" = 'subject=CN = one' ]

# A generation that is under way goes on over the old certificate.
curl -sS -N "$URL/v1/completions" -d '{"prompt": "The old man", "max_tokens": 400,
    "ignore_eos": true, "stream": true}' >"$WORK/stream" &
client=$!
wait_until 20 metric_is requests_live 1 || fail "nothing runs"
cp "$WORK/two.pem" "$WORK/tls.pem"
cp "$WORK/two.key" "$WORK/tls.key"
kill -HUP "$DAEMON"
now_two() { [ "$(presented)" = 'subject=CN = two' ]; }
wait_until 20 now_two || fail "the certificate is still $(presented)"
curl -s "$URL/health" >/dev/null && fail "curl trusts the second"
wait "$client" || fail "the stream broke off"
grep -q DONE "$WORK/stream"
cat "$WORK/two.pem" >"$CURL_CA_BUNDLE"
answers_with 200 GET /v1/tree

# A client that goes away is noticed.
curl -sS "$URL/v1/completions" -d '{"prompt": "The old man", "max_tokens": 1900,
    "ignore_eos": true}' >/dev/null 2>&1 &
client=$!
wait_until 20 metric_is requests_live 1 || fail "nothing runs"
end_process "$client"
wait_until 30 is_idle || fail "it still runs"

# A key that is not the certificate's changes nothing.
cp "$WORK/one.key" "$WORK/tls.key"
kill -HUP "$DAEMON"
wait_until 20 grep 'stays as it was' "$WORK/daemon.log" || fail "nothing is said of the bad pair"
answers_with 200 GET /v1/tree

# Clients
"$BIN/lorafs" ls --url "$URL" --cacert "$WORK/two.pem" | grep task >/dev/null
LORAFS_URL=$URL LORAFS_CACERT=$WORK/two.pem "$BIN/lorafs" ls | grep task >/dev/null
refuses "$BIN/lorafs" ls --url "$URL" --cacert "$WORK/one.pem"
refuses "$BIN/lorafs" ls --url "$URL"
if [ -r /dev/fuse ] && [ -w /dev/fuse ]; then
    "$BIN/lorafs" mount --foreground --cacert "$WORK/two.pem" "$URL" "$MNT" 2>>"$WORK/mount.log" &
    MOUNT=$!
    wait_until 60 is_mounted || fail "nothing is mounted"
    [ -d "$MODEL/task" ]
fi
