# ctl: a command a line, refused in the write; reading it shows what there is.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter task 100000
grep -q rollback "$MODEL/task/ctl"
refuses bash -c "echo train >'$MODEL/task/ctl'" # there is nothing to train on
refuses bash -c "echo dance >'$MODEL/task/ctl'"
refused_with 'Invalid argument'
rows 4 red >"$MODEL/task/dataset.jsonl"
echo pause >"$MODEL/task/ctl" # after what close() has begun
wait_status task '^paused'
job=$(ls "$MNT/jobs" | tail -1)
check json_file "$MNT/jobs/$job"
echo train >"$MODEL/task/ctl" # of what it trains on already: nothing begins anew
[ "$(ls "$MNT/jobs" | tail -1)" = "$job" ] || fail "ctl train took the place of the same training"
wait_status task '^paused'
echo resume >"$MODEL/task/ctl"
wait_status task '^training'
printf cancel >"$MODEL/task/ctl" # no newline: at close
wait_until 20 status_is task '^(empty|failed|ready|cancelled)' || fail "$(status_of task)"

settings 2 >"$MODEL/task/config.json"
printf 'train\n' >"$MODEL/task/ctl"
wait_status task '^ready v[12]$'
before=$(versions_of task)
printf 'train\n' | tee "$MODEL/task/ctl" >/dev/null
more_versions() { [ "$(versions_of task)" != "$before" ]; }
wait_until 60 more_versions || fail "ctl train did not train the same data again"

# What is trained so far becomes a version; of what does not train, there is nothing to finish.
refuses bash -c "echo finish >'$MODEL/task/ctl'"
before=$(versions_of task)
settings 100000 >"$MODEL/task/config.json"
echo train >"$MODEL/task/ctl"
wait_status task '^training v[0-9]+ [1-9]'
echo finish >"$MODEL/task/ctl"
wait_status task '^ready'
more_versions || fail "ctl finish made no version"
