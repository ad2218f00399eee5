# A person pauses, resumes, finishes and cancels trainings, looks at the machine while they run, and
# at a sweep and a study as they come in; opens a study's file; empties the trash.
. "$TEST_LIB/page.sh"
serve
for name in long longer; do train "$name" red 5000; done
# The study's cells, as `lorafs land run --url` names them.
for task in one two; do
    for variant in r4 r8; do
        new_adapter "small.$task.$variant" 12 '"metric": "exact_match"'
        rows 2 red >"$WORK/eval"
        put "small.$task.$variant" eval.jsonl "$WORK/eval" >/dev/null
    done
done
new_adapter swept 12 '"gate": "off"'
call PUT /v1/adapters/swept/files/config.json \
    -d '{"rank": 4, "steps": 12, "batch_size": 2, "max_length": 32,
         "learning_rate": [0.003, 0.001]}' >/dev/null
rows 16 red >"$WORK/rows"
browse queue.py "$WORK/rows" "$LF_SOURCE/docs/study/results.csv"
