# Preferences through a daemon: rows that are no pairs are refused by their line, a dpo training and
# a kto one run side by side, and log, status, report, result and curve have margin and accuracy.
. "$TEST_LIB/http.sh"
serve
lorafs() { "$BIN/lorafs" "$@"; }
export LORAFS_URL=$URL
pairs() { # FROM TO
    for ((i = $1; i <= $2; i++)); do
        echo "{\"prompt\": \"Item $i is\", \"chosen\": \" red\", \"rejected\": \" blue\"}"
    done
}
pairs 1 12 >"$WORK/rows.jsonl"
pairs 30 35 >"$WORK/eval.jsonl"
rows 3 red >"$WORK/plain.jsonl"
for loss in dpo kto; do
    echo "{\"loss\": \"$loss\", \"rank\": 4, \"steps\": 12, \"batch_size\": 4, \"dropout\": 0," \
        "\"max_length\": 32, \"learning_rate\": 0.002, \"seed\": 1}" >"$WORK/config.json"
    lorafs create $loss
    put $loss config.json "$WORK/config.json" >/dev/null
    answers_with 422 PUT "/v1/adapters/$loss/files/dataset.jsonl" --data-binary "@$WORK/plain.jsonl"
    [ $loss = dpo ] && lacks=chosen || lacks=label
    grep -c "line 1: no .\"$lacks" "$WORK/body"
    put $loss eval.jsonl "$WORK/eval.jsonl" >/dev/null
    put $loss dataset.jsonl "$WORK/rows.jsonl" '?train=1' >/dev/null
done
for loss in dpo kto; do
    lorafs wait $loss 2>/dev/null
    lorafs log $loss | grep '"event":"step","step":12' | grep '"reward_margin":[0-9]' |
        grep -c '"reward_accuracy":1.0'
    lorafs log $loss | grep '"event":"eval","step":12' | grep -c '"eval_reward_accuracy":1.0'
    call GET /v1/adapters/$loss/files/metrics.json | grep -c '"eval_reward_margin": [0-9]'
    call GET /v1/adapters/$loss/files/result | grep -c '"eval_reward_accuracy":1.0'
    call GET /v1/adapters/$loss/files/loss.svg | grep -c 'reward margin'
done
call GET /v1/jobs | grep -o '"eval_reward_chosen"' | grep -c . | grep -cx 2
