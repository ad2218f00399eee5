# Sourced by the cases of large/ after http.sh or common.sh: a base of Mistral-7B's shape with
# random weights, and trainings whose rate is measured.
shape=${LF_SHAPE:-} # options of random_checkpoint.py: a smaller one, to try a case on a CPU
[ "$DEVICE" = cuda ] || [ -n "$shape" ] || skip "it needs a card"

# random_base GB: BASE is from now on such a one; WORK must have room for so much.
random_base() {
    local tokenizer=$BASE free
    free=$(df --output=avail -k "$WORK" | tail -n 1)
    [ "$free" -gt $(($1 * 1000000)) ] || skip "$WORK has no room for it: $free KiB"
    BASE=$WORK/base
    # shellcheck disable=SC2086
    "${PYTHON:-python3}" "$LF_SOURCE/tests/lib/random_checkpoint.py" "$BASE" "$tokenizer" $shape
}

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

# train_rate JOBS STEPS: tokens a second from when so many train, and made so many steps, until one
# ends.
train_rate() {
    wait_until 120 trains "$1" "$2" || fail "$1 jobs do not train"
    local tokens start
    tokens=$(metric train_tokens_total)
    start=$(date +%s%N)
    wait_until 300 first_ended "$1" || fail "no job ends"
    echo $((($(metric train_tokens_total) - tokens) * 1000 / (($(date +%s%N) - start) / 1000000)))
}
