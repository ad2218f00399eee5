# EleutherAI's lm-evaluation-harness: its local-completions scores a task's choices by the prompts'
# log-probabilities. The adapter knows the answers, the base does not.
. "$TEST_LIB/http.sh"
need_module lm_eval datasets
export HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 HF_HOME="$WORK/hf"
serve
train red red
await red '^ready v1$'
mkdir "$WORK/task"
for i in 31 32 33 34; do
    printf '{"question": "Item %d is", "choices": ["blue", "red", "not"], "answer": 1}\n' "$i"
done >"$WORK/task/rows.jsonl"
cat >"$WORK/task/colours.yaml" <<TASK
task: colours
dataset_path: json
dataset_kwargs: {data_files: $WORK/task/rows.jsonl}
test_split: train
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
TASK
# accuracy MODEL: of the model, as the harness finds it.
accuracy() {
    "$PYTHON" -m lm_eval --model local-completions --tasks colours --include_path "$WORK/task" \
        --output_path "$WORK/$1" --batch_size 4 --model_args \
        "model=$1,base_url=$URL/v1/completions,tokenizer=$BASE,tokenized_requests=$2" \
        >"$WORK/$1.log" 2>&1 || { tail -n 40 "$WORK/$1.log" >&2; fail "lm_eval for $1"; }
    sed -n 's/.*"acc,none": \([0-9.]*\).*/\1/p' "$WORK/$1"/*/results*.json
}
[ "$(accuracy red True)" = 1.0 ] || fail "red: $(tail "$WORK/red.log")"
[ "$(accuracy base False)" != 1.0 ] || fail "the base knows it as well"
