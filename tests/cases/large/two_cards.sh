# A base of Mistral-7B's shape on one card and on two: 62 jobs of one row of 60 to 500 tokens from
# the first step to the end of the last, and 128 users of 64 adapters. Prints both rates of both.
. "$TEST_LIB/http.sh"
. "$TEST_LIB/large.sh"
one=(--gpu 0) two=(--gpu 0,1)
if [ "$DEVICE" != cuda ]; then
    one=(--seats 1) two=(--seats 2)
elif [ "$(nvidia-smi -L | wc -l)" -lt 2 ]; then
    skip "it needs two cards"
fi
jobs=${LF_JOBS:-62} users=${LF_USERS:-128}
random_base 20
make_rows "$WORK/mixed" 50 490

all_ready() {
    call GET '/v1/adapters?limit=100' >/dev/null
    [ "$(grep -o '"state": *"ready"' "$WORK/body" | wc -l)" = $((jobs + 2)) ]
}

# decoded USERS: tokens a second.
decoded() {
    "$BIN/lorafs" bench serve --url "$URL" --models "many:$((jobs + 2))" --users "$1" \
        --prompt-tokens 16,16 --completion-tokens 96,160 --seconds "${LF_SECONDS:-8}" --warmup 4 \
        --vocabulary 256 --json >"$WORK/served"
    "${PYTHON:-python3}" - "$WORK/served" <<'END'
import json, sys
served = json.load(open(sys.argv[1]))
assert served["failed"] == 0, served
print(round(served["tokens_per_second"]))
END
}

# rates SEAT OPTION...: "TRAINED DECODED DECODED", tokens a second: so many users, and twice them.
rates() {
    local i tokens start trained
    [ ! -e "$DATA" ] || find "$DATA" -mindepth 1 -maxdepth 1 ! -name cache -exec rm -r {} +
    serve "$@"
    for ((i = -2; i < jobs; i++)); do # two of a step, so that the answers have 64 adapters
        learn "many$((i + 2))" 1 $((i < 0 ? 1 : ${LF_STEPS:-40})) "$WORK/mixed"
    done
    tokens=$(metric train_tokens_total)
    start=$(date +%s%N)
    wait_until 600 all_ready || fail "not all are ready: $(cat "$WORK/body")"
    ms=$((($(date +%s%N) - start) / 1000000))
    trained=$((($(metric train_tokens_total) - tokens) * 1000 / ms))
    echo "$trained $(decoded "$users") $(decoded $((users * 2)))"
    stop_daemon
}

rates "${one[@]}" >"$WORK/one"
rates "${two[@]}" >"$WORK/two"
read -r trained1 few1 many1 <"$WORK/one"
read -r trained2 few2 many2 <"$WORK/two"
echo "ok $jobs jobs: $trained1 and $trained2 tokens/s on one and two; $((jobs + 2)) adapters," \
    "$users users: $few1 and $few2; $((users * 2)) users: $many1 and $many2"
[ "$trained1" -gt 0 ] && [ "$few1" -gt 0 ]
