# peft saves an adapter into adapter/, or the task's folder, with its model card: it is live, and
# read back from there.
. "$TEST_LIB/common.sh"
need_module peft transformers
start_daemon
start_mount

make_adapter there
"${PYTHON:-python3}" "${0%.sh}.py" "$BASE" "$MODEL/there/adapter" "$MODEL/made/adapter" \
    "$MODEL/task" 2>"$WORK/said" || fail "$(cat "$WORK/said")"
for name in there made task; do
    wait_status "$name" '^ready v'
    grep -q '^library_name: peft' "$MODEL/$name/adapter/README.md"
    [ "$(ls "$MODEL/$name/adapter" | tr '\n' ' ')" = \
        'README.md adapter_config.json adapter_model.safetensors ' ]
    echo 'Item 1 is' >"$MODEL/$name/prompt"
    cat "$MODEL/$name/generate" >"$WORK/answer"
done
status_is task '^ready v2$'
grep -q 'Trained on nothing' "$MODEL/task/adapter/README.md"

# The card goes as it came: by hand.
rm "$MODEL/task/adapter/README.md"
sleep 1.5
[ ! -e "$MODEL/task/adapter/README.md" ]
