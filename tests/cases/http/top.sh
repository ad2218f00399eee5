# `lorafs top`: what runs, once, as an object, and drawn on a terminal until q.
. "$TEST_LIB/http.sh"
need script
serve --train-tokens 512
train good red 2
await good '^ready v1$'
curl -sf "$URL/v1/completions" -d '{"model": "good", "prompt": "The", "max_tokens": 5,
    "ignore_eos": true}' >/dev/null
lorafs() { "$BIN/lorafs" "$@" --url "$URL"; }
lorafs top >"$WORK/once"
grep -q '^lorafs     ready, up ' "$WORK/once" || fail "$(cat "$WORK/once")"
grep -Eq '^good +0 +0 +[0-9.]+ +[0-9.]+ +[0-9.]+ m?s +[0-9.]+ m?s$' "$WORK/once" ||
    fail "$(cat "$WORK/once")"
refuses grep -E '^\((base|others)\)' "$WORK/once" # nobody asked them

# A training, and a request that runs.
new_adapter long 100000
rows 4 red >"$WORK/rows.jsonl"
put long dataset.jsonl "$WORK/rows.jsonl" '?train=1' >/dev/null
await long '^training'
lorafs top --once --json >"$WORK/json"
"${PYTHON:-python3}" - "$WORK/json" <<'END' || fail "$(cat "$WORK/json")"
import json, sys
top = json.load(open(sys.argv[1]))
assert top["ready"] and top["requests"]["running"] == 0 and 0 <= top["kv_cache_used"] <= 1
assert [a["adapter"] for a in top["adapters"]] == ["good"]
assert top["adapters"][0]["tokens_per_second"] > 0 and top["adapters"][0]["token_seconds"] > 0
assert top["memory_bytes"]["weights"] > 1e6 and top["memory_bytes"]["process"] > 1e7
assert {j["adapter"]: j["state"] for j in top["jobs"]}["long"] == "running"
END

# On a terminal it draws until q, and gives the screen back.
(wait_until 20 grep -q running "$WORK/screen" && printf q) |
    timeout 60 script -qfc "stty rows 20 cols 60; '$BIN/lorafs' top -s 0.2 --url '$URL'" \
        "$WORK/screen" >/dev/null
grep -q $'\033\\[?1049h' "$WORK/screen"
grep -q $'\033\\[?1049l' "$WORK/screen"
grep -q 'running  long ' "$WORK/screen"
call POST /v1/adapters/long/ctl -d cancel >/dev/null

# Nobody is there.
refuses "$BIN/lorafs" top --url http://127.0.0.1:1
refused_with 'lorafs top'
