# Without an eval.jsonl, "validation" holds a part of the rows out: the loss and the score are of
# those, they are not trained on, and the log, the report and `lorafs train` say how many they are.
# (With DoRA, whose magnitudes are served and exported, too.)
. "$TEST_LIB/http.sh"
serve
lorafs() { "$BIN/lorafs" "$@"; }
export LORAFS_URL=$URL
rows 40 red >"$WORK/rows.jsonl"
echo '{"rank": 4, "steps": 12, "batch_size": 2, "max_length": 32, "max_tokens": 4, "seed": 1,
    "learning_rate": 0.003, "metric": "exact_match", "validation": 0.2, "dora": true
    }' >"$WORK/config.json"
lorafs train task "$WORK/rows.jsonl" -c "$WORK/config.json" >/dev/null
lorafs wait task 2>/dev/null | grep -c '^task ready v1 exact_match 1.0000'
held=$(lorafs log task | sed -n 's/.*"rows":\([0-9]*\).*"validation_rows":\([0-9]*\).*/\2 of \1/p')
kept=${held#* of } held=${held% of *}
[ $((kept + held)) = 40 ] && [ "$held" -ge 2 ] && [ "$held" -le 16 ] || fail "$held held out, $kept"
lorafs log task | grep -c '"event":"eval"'
metrics=$(call GET /v1/adapters/task/files/metrics.json)
echo "$metrics" | grep -c "\"validation_rows\": $held,"
echo "$metrics" | grep -c "\"rows\": $kept,"
[ "$(echo "$metrics" | grep -c "\"rows\": $held,")" = 2 ] # on which base and version are scored
echo "$metrics" | grep -c '"eval_loss": [0-9]'
# Its losses are what they are called: that of the last step, and the average of which the log's
# steps are the terms, each 5% more than the one before.
lorafs log task | sed -n 's/.*"event":"step".*"loss":\([0-9.e-]*\).*/\1/p' >"$WORK/losses"
[ "$(wc -l <"$WORK/losses")" = 12 ]
echo "$metrics" | sed -n 's/.*"\(last_\)\{0,1\}loss": \([0-9.e-]*\).*/\1 \2/p' >"$WORK/said"
awk 'NR == FNR { sum = sum * 0.95 + $1; n = n * 0.95 + 1; last = $1; next }
    { off = $NF / ($1 == "last_" ? last : sum / n) - 1; seen++ }
    off > 1e-5 || off < -1e-5 { print; exit 1 }
    END { exit !(seen == 2 && sum / n > 1.05 * last) }' \
    "$WORK/losses" "$WORK/said" || fail "losses: $(cat "$WORK/said")"

# Rows that are held out are such here, too.
"$BIN/lorafs" train --base "$BASE" --out "$WORK/out" --config "$WORK/config.json" --quiet \
    --dataset "$WORK/rows.jsonl" | grep -c " over $kept rows, .* on $held rows held out"

lorafs export task "$WORK/peft" >/dev/null
grep -c '"use_dora": true' "$WORK/peft/adapter_config.json"
grep -c 'q_proj.lora_magnitude_vector' "$WORK/peft/adapter_model.safetensors"

# Held-out rows of its own take the place of the part.
rows 8 red >"$WORK/eval.jsonl"
put task eval.jsonl "$WORK/eval.jsonl" >/dev/null
call POST /v1/adapters/task/ctl -d 'train' >/dev/null
lorafs wait task 2>/dev/null | grep -c '^task ready v2 exact_match 1.0000'
call GET /v1/adapters/task/files/metrics.json | grep -c '"rows": 40,'
