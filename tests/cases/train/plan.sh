# `lorafs plan` foretells what a daemon lays its memory out for; what cannot run on a device is
# refused when it is submitted, with the rank that would fit.
. "$TEST_LIB/http.sh"
plan() { "$BIN/lorafs" plan "$@"; }
json() { # MEMBER...: of the plan on stdin
    "${PYTHON:-python3}" -c 'import json, sys
v = json.load(sys.stdin)
for name in sys.argv[1:]:
    v = v[int(name) if name.isdigit() else name]
print(v)' "$@"
}

# Of cards that are not here, and shapes that are nowhere.
plan llama-3-8b --memory 24GB >"$WORK/fits"
grep -c '^beside it: [1-9][0-9]* more such trainings, or [1-9][0-9]* such adapters' "$WORK/fits"
refuses plan llama-3-70b --memory 24GB
plan llama-3-70b --memory 24GB --json >"$WORK/tight" && fail "70 billion weights fit in 24 GB"
[ "$(json would_fit <"$WORK/tight")" = None ]
[ "$(plan llama-3-70b --memory 141GB --json | json fits)" = True ]
plan mistral-7b --memory 8GB --json >"$WORK/tight" && fail "the defaults fit in 8 GB"
options=$("${PYTHON:-python3}" -c 'import json, sys
w = json.load(sys.stdin)["would_fit"]
print(*(f"--{k.replace(chr(95), chr(45))}={v}" for k, v in w.items()))' <"$WORK/tight")
plan mistral-7b --memory 8GB $options --json >"$WORK/better" || fail "$options do not fit"
[ "$(json layout <"$WORK/better")" = "$(json layout <"$WORK/tight")" ]

# What a daemon here says of itself.
options='--memory 96M --kv-tokens 1024 --batch-tokens 128 --train-tokens 128 --recompute none'
plan "$BASE" --device "$DEVICE" $options --slots 8 --json >"$WORK/plan"
serve $options --slots 8
metric_is memory_saved_bytes "$(json layout saved_bytes <"$WORK/plan")" || fail "saved"
metric_is memory_kv_bytes "$(json layout kv_bytes <"$WORK/plan")" || fail "the cache"

rows 4 red >"$WORK/rows.jsonl"
call POST /v1/adapters -d '{"name": "wide", "config": {"rank": 256, "steps": 1}}' >/dev/null
put wide dataset.jsonl "$WORK/rows.jsonl" >/dev/null
answers_with 400 POST /v1/adapters/wide/ctl -d train
refusal='the training does not fit: an adapter of rank 256 '
said=$(sed -n "s/.*$refusal.*; rank \([0-9]*\) would.*/\1/p" "$WORK/body")
[ -n "$said" ] || fail "$(cat "$WORK/body")"
# That rank is taken, the next one is not.
config() { echo "{\"rank\": $1, \"steps\": 1, \"batch_size\": 1, \"max_length\": 32}"; }
config $((said + 1)) >"$WORK/config.json"
put wide config.json "$WORK/config.json" >/dev/null
answers_with 400 POST /v1/adapters/wide/ctl -d train
config "$said" >"$WORK/config.json"
put wide config.json "$WORK/config.json" >/dev/null
call POST /v1/adapters/wide/ctl -d train >/dev/null
await wide '^ready v1'
