# A base of Mistral-7B's shape, trained through the daemon: one job of 16 rows of about 470 tokens a
# step, then 31 jobs of one row of 60 to 500. Prints their tokens a second, while all of them train.
. "$TEST_LIB/http.sh"
shape=${LF_SHAPE:-} # options of random_checkpoint.py: a smaller one, to try the case on a CPU
[ "$DEVICE" = cuda ] || [ -n "$shape" ] || skip "it needs a card"
free=$(df --output=avail -k "$WORK" | tail -n 1)
[ "$free" -gt 20000000 ] || skip "$WORK has no room for it: $free KiB"

tokenizer=$BASE
BASE=$WORK/base
# shellcheck disable=SC2086
"${PYTHON:-python3}" "$LF_SOURCE/tests/lib/random_checkpoint.py" "$BASE" "$tokenizer" $shape
serve

# make_rows FILE LEAST MOST: 600 rows of so many words, a token each.
make_rows() {
    awk -v least="$2" -v most="$3" 'BEGIN {
        srand(1)
        for (i = 0; i < 600; i++) {
            words = ""
            for (n = least + int(rand() * (most - least + 1)); n > 0; n--)
                words = words " red"
            printf "{\"prompt\": \"Item %d is\", \"completion\": \"%s\"}\n", i, words
        }
    }' >"$1"
}

# learn NAME BATCH STEPS FILE
learn() {
    call POST /v1/adapters -d "{\"name\": \"$1\", \"config\": {\"rank\": 8, \"batch_size\": $2,
        \"target_modules\": [\"q_proj\", \"v_proj\"], \"steps\": $3, \"max_length\": 512,
        \"learning_rate\": 0.001}}" >/dev/null
    put "$1" dataset.jsonl "$4" '?train=1' >/dev/null
}

trains() { metric_is trainings_running "$1" && [ "$(metric train_steps_total)" -gt "$2" ]; }
first_ended() { [ "$(metric trainings_running)" -lt "$1" ]; }

# rate JOBS STEPS: tokens a second from when so many train, and made so many steps, until one ends.
rate() {
    wait_until 120 trains "$1" "$2" || fail "$1 jobs do not train"
    local tokens start
    tokens=$(metric train_tokens_total)
    start=$(date +%s%N)
    wait_until 300 first_ended "$1" || fail "no job ends"
    echo $((($(metric train_tokens_total) - tokens) * 1000 / (($(date +%s%N) - start) / 1000000)))
}

make_rows "$WORK/even" 400 540
make_rows "$WORK/mixed" 50 490
learn one 16 "${LF_STEPS:-30}" "$WORK/even"
alone=$(rate 1 2)
await one '^ready v1'
for i in {1..31}; do
    learn "many$i" 1 $((${LF_STEPS:-30} + 60)) "$WORK/mixed"
done
many=$(rate 31 "$(metric train_steps_total)")
echo "ok one job of batch 16: $alone tokens/s; 31 jobs of batch 1: $many tokens/s"
[ "$alone" -gt 0 ] && [ "$many" -gt 0 ]
