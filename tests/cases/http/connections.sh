# A crowd of connections shuts no one out: over the share of TCP 503 and no reset, the unix socket
# answers as before, and what keeps the daemon waiting is closed.
. "$TEST_LIB/http.sh"
ulimit -n 512 # the daemon's: shares of 96 connections
serve --train-tokens 0 --request-timeout 2
ulimit -n "$(ulimit -H -n)"
py connections.py crowd "$SOCK"
wait_until 10 metric_is connections_tcp 1 || fail "$(metric connections_tcp) are left"
[ "$(metric connections_refused_total)" -gt 0 ]
[ "$(metric connections_late_total)" -gt 0 ]
[ "$(metric descriptors_max)" = 512 ]
[ "$(metric descriptors)" -lt 100 ]
py connections.py dripping

# An answer that takes longer than it may ends.
answers_with 504 POST /v1/completions -d '{"prompt": "The old man", "max_tokens": 1900, "n": 32,
    "temperature": 1, "ignore_eos": true}'
wait_until 30 is_idle || fail "it still runs"
