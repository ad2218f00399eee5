# `lorafs bench serve`: what users of a loaded server see, in a closed and in an open loop.
. "$TEST_LIB/http.sh"
[ -z "${SANITIZE:-}" ] || skip "answers take longer there than it measures"
serve
train red red 2
await red '^ready v1$'
LORAFS_BENCH_SERVE_SECONDS=2
export LORAFS_BENCH_SERVE_SECONDS

# load FIELD OPTION...: a number of the JSON.
load() {
    "$BIN/lorafs" bench serve --url "$URL" --warmup 0.3 --prompt-tokens 4,20 --json \
        --completion-tokens 2,12 --vocabulary 1000 "${@:2}" >"$WORK/load.json"
    "${PYTHON:-python3}" -c 'import json, sys
r = json.load(open(sys.argv[1]))
assert r["requests"] > 3 and not r["failed"], r
assert all(0 < a <= b for t in ("first_token_ms", "between_tokens_ms", "answer_ms")
           for a, b in zip(r[t], r[t][1:])), r
assert r["tokens_per_second"] * r["seconds"] >= 2 * r["requests"], r
print(r[sys.argv[2]])' "$WORK/load.json" "$1"
}

[ "$(load models --models red, --users 4)" = 2 ]
load least_share --models red, --users 4 --spread uniform >/dev/null
load others_first_token_ms --models red, --users 6 --spread hot >/dev/null
load late --users 8 --rate 10 --prefix 40 >/dev/null
load requests --users 4 --api lorax --models red >/dev/null
[ "$(metric cached_tokens_total)" -gt 0 ] || fail "the prefix was read over and over"
"$BIN/lorafs" bench serve --url "$URL" --users 2 --vocabulary 900 | grep -q 'to the first token'
refuses "$BIN/lorafs" bench serve --url "$URL" --models nobody
refused_with 'no answer came: 404'
wait_until 20 is_idle
