# The command line does over HTTP what the mount does: make, train, wait, ask, order, copy, export;
# the address and the key come from the environment or a file as well.
. "$TEST_LIB/http.sh"
echo sesame >"$WORK/key"
serve --api-key-file "$WORK/key"
lorafs() { "$BIN/lorafs" "$@"; }
status_line() { lorafs status "$1"; } # of http.sh's `await`, which has no key
export LORAFS_URL=$URL LORAFS_API_KEY=sesame

# From nothing to an answer.
lorafs create task --set rank=4 --set steps=12 --set batch_size=2 --set learning_rate=0.003 \
    --set max_tokens=16 --set metric=exact_match --set max_length=32
refuses lorafs create task
refused_with 'task'
refuses lorafs create other --set lora_r=4
refused_with 'did you mean "rank"'
rows 8 red >"$WORK/train.jsonl"
rows 3 red >"$WORK/test.jsonl"
lorafs train task -i "$WORK/train.jsonl" -e "$WORK/test.jsonl" | grep -c '^task: queued$'
lorafs wait task 2>/dev/null | grep -c '^task ready v1 exact_match '
lorafs train task "$WORK/train.jsonl" | grep -c 'already'
refuses lorafs train task "$WORK/train.jsonl" -i "$WORK/test.jsonl"
refused_with 'two data sets'
lorafs ls | grep -cx task
lorafs run task 'Item 1 is' | grep -c red
printf 'Item 1 is\n' | lorafs run task -T 0 >"$WORK/answer"
lorafs run task -T 0 Item 1 is | cmp - "$WORK/answer"
refuses lorafs run task </dev/null # there is no stored prompt
refused_with 'no prompt was given'
printf 'Item 1 is' >"$WORK/prompt"
lorafs cp "$WORK/prompt" task:
lorafs run task -T 0 </dev/null | cmp - "$WORK/answer"
lorafs log -f task | grep -c '"event":"scored"'

# Files in and out, one to another, and as PEFT has them.
lorafs cp task:metrics.json "$WORK"
check json_file "$WORK/metrics.json"
lorafs cp task:prompt "$WORK/copied"
cmp "$WORK/prompt" "$WORK/copied"
lorafs export task "$WORK/peft" | grep -cx "$WORK/peft"
lorafs export task -v 1 "$WORK/first"
for file in adapter_config.json adapter_model.safetensors; do
    cmp "$WORK/peft/$file" "$WORK/first/$file"
done
# Of the version that serves, not what waits to become another one.
sed 's/"lora_alpha": *[0-9.]*/"lora_alpha": 1/' "$WORK/peft/adapter_config.json" >"$WORK/half.json"
lorafs cp "$WORK/half.json" task:adapter/adapter_config.json
lorafs export task "$WORK/served"
cmp "$WORK/peft/adapter_config.json" "$WORK/served/adapter_config.json"
lorafs cp "$WORK/peft/adapter_config.json" task:adapter/adapter_config.json
lorafs create twin
refuses lorafs export twin "$WORK/none"
refused_with 'twin has no version yet'
lorafs cp task:config.json task:prompt twin:
lorafs cp "$WORK"/peft/* twin:adapter/
lorafs run twin -T 0 </dev/null | cmp - "$WORK/answer"
refuses lorafs export task -v 9 "$WORK/none"
[ ! -e "$WORK/none" ] || fail 'a directory is left of what was not exported'

# Pipes are files, too; a directory is none, and nothing else is said of it.
lorafs cp task:prompt - | cmp - "$WORK/prompt"
printf 'Item 2 is' | lorafs cp - twin:prompt
[ "$(lorafs cp twin:prompt -)" = 'Item 2 is' ]
lorafs cp "$WORK/prompt" twin:
lorafs create piped --set rank=2 --set steps=1
lorafs train piped <(cat "$WORK/train.jsonl") | grep -c '^piped: queued$'
lorafs wait -q piped | grep -c '^piped ready v1'
lorafs cp piped:dataset.jsonl - | cmp - "$WORK/train.jsonl"
refuses lorafs train piped "$WORK"
refused_with 'Is a directory'

# What cannot be written is said, and is no success: a full disk, a stdout that is closed.
for command in ls 'ls -l' status 'status --json' 'diff piped task' 'log task' 'cp task:log -' \
    'wait -q task' 'run task' 'top --once' --version --help 'train --help' \
    "rows $WORK/train.jsonl"; do
    for to in /dev/full '&-'; do
        # shellcheck disable=SC2086
        refuses bash -c "\"$BIN/lorafs\" $command >$to </dev/null"
        refused_with 'stdout: \|writing the answer: '
    done
done
[ "$(printf 'Item 1 is' | lorafs run task -T 0 2>&-)" = "$(cat "$WORK/answer")" ]

# Merged: a checkpoint that knows the rows without the adapter, whole or not there at all.
refuses lorafs export task --merged
refused_with 'say with --base'
lorafs export task "$WORK/merged/" --merged --base "$BASE" | grep -cx "$WORK/merged"
lorafs generate -b "$WORK/merged" -d cpu --greedy -n 8 -p 'Item 1 is' | grep -c red
for file in tokenizer.json config.json; do [ -s "$WORK/merged/$file" ]; done
refuses lorafs export "$WORK/peft" "$WORK/merged" --merged --base "$BASE"
refused_with 'there is something already'
refuses lorafs export "$WORK/peft" "$WORK/other" --merged --base "$WORK/peft"
! ls -d "$WORK"/other* "$WORK"/merged.* 2>/dev/null || fail 'a temporary directory is left'
refuses lorafs cp "$WORK/prompt" task:strange
refused_with "no file 'strange'"
refuses lorafs cp "$WORK/prompt" "$WORK/other"
refused_with 'NAME:FILE'
refuses lorafs cp "$WORK/train.jsonl" task:config.json
refused_with 'train.jsonl: '

lorafs ls --url "${URL#http://}" | grep -cx task
lorafs ls --url "$URL/" | grep -cx task

# Whole directories: out, and in under another name, without a training.
lorafs cp task: "$WORK/backup"
for file in config.json dataset.jsonl eval.jsonl prompt log metrics.json \
    adapter/adapter_model.safetensors; do
    [ -s "$WORK/backup/$file" ] || fail "cp task: left out $file"
done
[ ! -e "$WORK/backup/status" ]
jobs() { curl -sS -H 'Authorization: Bearer sesame' "$URL/v1/jobs" | grep -o '"id"' | wc -l; }
before=$(jobs)
lorafs cp "$WORK/backup" again:
lorafs wait -q again | grep -c '^again ready v1'
lorafs cp task: third:
lorafs wait -q third | grep -c '^third ready v1'
for name in again third; do
    lorafs run $name -T 0 </dev/null | cmp - "$WORK/answer"
done
lorafs cp "$WORK/peft" fourth:
lorafs wait -q fourth | grep -c '^fourth ready v1'
[ "$(jobs)" = "$before" ] || fail "a copy was trained"
refuses lorafs cp nobody: "$WORK/nobody"
refused_with nobody
mkdir "$WORK/empty"
refuses lorafs cp "$WORK/empty" fifth:
refused_with 'no file of an adapter'

# The package for Python does the same; where the tools are there, a wheel is made of it.
py python_package.py "$SOCK"
if "${PYTHON:-python3}" -c 'import pip, setuptools, wheel' 2>/dev/null; then
    cp -r "$LF_SOURCE/share/python" "$WORK/python"
    "${PYTHON:-python3}" -m pip -q wheel --no-index --no-deps --no-build-isolation \
        -w "$WORK/wheel" "$WORK/python"
    "${PYTHON:-python3}" -m zipfile -l "$WORK"/wheel/lorafs-*.whl | grep -c lorafs/py.typed
fi

# To a hub and back: by one commit, a large file once, with a card; a storage that fails is asked
# again and gets no token; who may not write is told so.
unset http_proxy https_proxy all_proxy HF_TOKEN
export no_proxy='*' HF_ENDPOINT
mkdir "$WORK/hub"
"${PYTHON:-python3}" "$LF_SOURCE/tests/lib/hub_server.py" "$WORK/hub" "$WORK/port" \
    --token hub-token --fail 1 >"$WORK/requests" 2>"$WORK/hub.log" &
HUB=$!
wait_until 60 test -s "$WORK/port"
HF_ENDPOINT=http://127.0.0.1:$(cat "$WORK/port")
refuses lorafs push org/task
refused_with 'Invalid username.*HF_TOKEN must be a token that may write'
export HF_TOKEN=hub-token
refuses lorafs push task
refused_with 'is not org/name'
refuses lorafs push org/nobody
lorafs push org/task | grep -Ec '^org/task@[0-9a-f]{40}$'
[ "$(grep -c '^PUT .* -$' "$WORK/requests")" = 2 ] || fail "the storage: $(cat "$WORK/requests")"
cmp "$WORK/hub/org/task/adapter_model.safetensors" "$WORK/peft/adapter_model.safetensors"
for text in '^# org/task' '`exact_match` on 3' '| the base alone |' 'loss.svg' '"rank": 4'; do
    grep -q "$text" "$WORK/hub/org/task/README.md" || fail "the card has no $text"
done
grep -q "<svg" "$WORK/hub/org/task/loss.svg"
lorafs push org/other task --version 1 --private >/dev/null
[ "$(grep -c '^PUT' "$WORK/requests")" = 2 ] || fail 'what the hub had was sent again'
lorafs pull org/other --out "$WORK/pulled" >/dev/null
cmp "$WORK/pulled/adapter_config.json" "$WORK/peft/adapter_config.json"
end_process "$HUB"

# Orders.
lorafs train long -i "$WORK/train.jsonl" --set steps=100000 --set batch_size=2 --set rank=2
await long '^training'
lorafs pause long
await long '^paused'
lorafs resume long
await long '^training v[0-9]+ [1-9]'
refuses lorafs resume long
lorafs finish long
lorafs wait -q long | grep -c '^long ready v1'
lorafs train long -i "$WORK/train.jsonl" --set steps=100000 --set batch_size=2 --set rank=4
await long '^training'
lorafs cancel long
refuses lorafs wait -q long
refused_with 'was cancelled'
lorafs train task -i "$WORK/train.jsonl" --set steps=2 --set rank=2
lorafs wait -q task
lorafs rollback task 1
lorafs ls -l | grep -Ec '^ready +v1 .* task$'
refuses lorafs rollback task 7
refused_with 'no version 7'
lorafs rm twin
refuses lorafs status twin

# Where it is and with which key: the environment, then the user's file; the command line first.
refuses lorafs ls --url http://127.0.0.1:1
refused_with 'no daemon answers at http://127.0.0.1:1 .*lorafs serve'
unset LORAFS_URL LORAFS_API_KEY
refuses lorafs ls
refused_with "no daemon answers at .*/lorafsd.sock .*LORAFS_URL"
LORAFS_DATA=$DATA lorafs ls --api-key-file "$WORK/key" | grep -cx task
export XDG_CONFIG_HOME=$WORK/config
mkdir -p "$WORK/config/lorafs"
conf() { printf '%s\n' "$@" >"$WORK/config/lorafs/lorafs.conf"; }
conf '# mine' "url = $URL   # here" "api-key-file = \"$WORK/key\"" '' '[ls]' 'long = yes'
lorafs ls | grep -c '^ready .* task$'
LORAFS_LS_LONG=no lorafs ls | grep -cx task
refuses env LORAFS_URL=http://127.0.0.1:1 "$BIN/lorafs" ls
refuses env LORAFS_API_KEY=other "$BIN/lorafs" ls
lorafs ls --help | grep -c '^usage: lorafs ls'
conf "url = $URL" 'qunat = none'
refuses lorafs ls
refused_with 'lorafs.conf:2: unknown option "qunat"; did you mean "quant"'
conf '[tarin]' 'device = cpu'
refuses lorafs ls
refused_with 'lorafs.conf:1: unknown command "tarin"; did you mean "train"'
conf 'url'
refuses lorafs ls
refused_with 'lorafs.conf:1: a line is'
conf '[lorafsd]' 'slots = many'
lorafs ls --url "$URL" --api-key-file "$WORK/key" >/dev/null
refuses "$BIN/lorafsd" --base "$BASE"
refused_with 'LORAFS_LORAFSD_SLOTS .*whole number'
