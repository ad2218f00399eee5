# Whatever is refused, `error` says why, until the same file is taken; what is served stays ready.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

error_is() {
    grep -q "$2" "$MODEL/$1/error" || fail "$1/error: '$(cat "$MODEL/$1/error")', not /$2/"
}
no_error() { [ -z "$(cat "$MODEL/$1/error")" ] || fail "$1/error: $(cat "$MODEL/$1/error")"; }

# ctl: a word that is none, an order that there is nothing to do for, a line without an end.
make_adapter task 12
no_error task
refuses bash -c "echo trian >'$MODEL/task/ctl'"
error_is task '^ctl: unknown command "trian"; did you mean "train"'
refuses bash -c "echo train >'$MODEL/task/ctl'"
error_is task '^ctl: .*dataset.jsonl'
refuses bash -c "echo cancel >'$MODEL/task/ctl'"
error_is task '^ctl: task has no job'
refuses bash -c "head -c 300 /dev/zero | tr '\\0' x >'$MODEL/task/ctl'"
error_is task '^ctl: a command is longer than 256 bytes'
wait_status task "^empty" # an order does not make it a failed one

# generate: nothing to answer with, then nothing to answer.
check read_errno "$MODEL/task/generate" EBUSY
error_is task '^generate: task has no version to serve yet'
rows 8 red >"$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
check read_errno "$MODEL/task/generate" ENODATA
error_is task '^generate: no prompt was given'
echo 'Item 1 is' >"$MODEL/task/prompt"
cat "$MODEL/task/generate" >/dev/null
no_error task
echo 'Q: {question}' >"$MODEL/task/template"
echo '{"answer": "Item 1"}' >"$MODEL/task/prompt"
check read_errno "$MODEL/task/generate" EINVAL
error_is task '^generate: .*question'
echo '{"question": "Item 1"}' >"$MODEL/task/prompt"
cat "$MODEL/task/generate" >/dev/null
no_error task
refuses ln -sfn 7 "$MODEL/task/versions/current"
error_is task 'task has no version 7'
refuses ln -sfn elsewhere "$MODEL/task/versions/current"
error_is task 'unknown command "rollback elsewhere"; did you mean "rollback N"'
refuses bash -c "echo 'Item 1 is' >'$MODEL/task/generate'"
refused_with 'Invalid argument'
error_is task '^generate: opened for writing alone'
refuses bash -c "echo rollback 9 >'$MODEL/task/ctl'"
echo rollback 1 >"$MODEL/task/ctl"
no_error task

# Files: the state of what is served is not that of a file that was refused.
check write_errno "$MODEL/task/config.json" '{"lora_r": 4}' EINVAL
error_is task '^config.json: unknown key "lora_r"; did you mean "rank"?'
wait_status task '^ready v1; refused config.json: '
check write_errno "$MODEL/task/dataset.jsonl" 'no' EINVAL
wait_status task '^ready v1; refused dataset.jsonl: line 1'
"$BIN/lorafs" ls -l --url "$SOCK" | grep -c '^ready'
rows 8 red >"$MODEL/task/dataset.jsonl"
wait_status task '^ready v'

# What is in force: the defaults, config.json over them, and the template over that.
check json_file "$MODEL/task/settings"
for line in '"rank": 4' '"steps": 12' '"dropout": 0.05' 'Q: {question}'; do
    grep -qF "$line" "$MODEL/task/settings" || fail "settings do not say $line"
done
echo '{"epochs": 2}' >"$MODEL/task/config.json"
grep -q '"rank": 16' "$MODEL/task/settings"
grep -q '"epochs": 2' "$MODEL/task/settings"

# Dates are of the things, not of the mount.
job=$(ls "$MNT/jobs" | head -1)
stop_mount
sleep 1.1
start_mount
[ "$(stat -c %Y "$MNT/jobs/$job")" -lt "$(stat -c %Y "$MNT/README")" ]
