# What was trained on one base is not served by another, not even by one of the same name and shape:
# status says what it was trained on and what is here, and so does a request.
. "$TEST_LIB/http.sh"

# other DIR: the base with other weights, under the same name.
other() {
    mkdir -p "$1"
    cp -r "$BASE" "$1/base"
    chmod -R u+w "$1/base"
    python3 - "$1/base/model.safetensors" <<'PYTHON'
import json, struct, sys
with open(sys.argv[1], "r+b") as f:
    data = bytearray(f.read())
    first = 8 + struct.unpack("<Q", data[:8])[0]
    for name, tensor in json.loads(data[8:first]).items():
        if name.endswith("_proj.weight"):
            lo, hi = tensor["data_offsets"]
            for i in range(first + lo, first + hi, 64):
                data[i] ^= 1
    f.seek(0)
    f.write(data)
PYTHON
}

greedy() {
    call POST /v1/completions \
        -d '{"model": "base", "prompt": "Item 1 is", "max_tokens": 12, "temperature": 0}' |
        sed 's/.*"text": *\("[^"]*"\).*/\1/'
}

serve
answer=$(greedy)
train task red
await task '^ready v1$'
call GET /v1/adapters/task/files/adapter/adapter_config.json >"$WORK/adapter_config.json"
call GET /v1/adapters/task/files/adapter/adapter_model.safetensors >"$WORK/weights"
stop_daemon
mine=$BASE
other "$WORK/other"
BASE=$WORK/other/base
serve
await task '^failed: v1 was trained on the base base \(sha256 [0-9a-f]{12}\.\.\.\), here is base '
answers_with 400 POST /v1/completions -d '{"model": "task", "prompt": "Item 1 is", "max_tokens": 2}'
grep -q 'trained on the base' "$WORK/body"
call GET /v1/models | grep -q '"task"' && fail "it is listed as one that can be asked"
call POST /v1/completions -d '{"model": "base", "prompt": "Item 1 is", "max_tokens": 2}' >/dev/null

# Its weights are not taken by this base, whoever brings them.
new_adapter brought
put brought adapter/adapter_config.json "$WORK/adapter_config.json" >/dev/null
answers_with 422 PUT /v1/adapters/brought/files/adapter/adapter_model.safetensors \
    --data-binary "@$WORK/weights"
grep -q 'it was trained on the base base' "$WORK/body"
await brought '^failed: adapter/adapter_model.safetensors: it was trained on'

# Trained here again, it is served here; and the first version where it was trained.
call POST /v1/adapters/task/ctl --data-binary 'train' >/dev/null
await task '^ready v2$'
call POST /v1/completions -d '{"model": "task", "prompt": "Item 1 is", "max_tokens": 2}' >/dev/null
call POST /v1/adapters/task/ctl --data-binary 'rollback 1' >/dev/null
await task '^failed: v1 was trained on'
stop_daemon
BASE=$mine
serve --draft "$WORK/other/base" --speculate 3
await task '^ready v1$'
call POST /v1/completions -d '{"model": "task", "prompt": "Item 1 is", "max_tokens": 2}' >/dev/null
# What the other base drafts is tried out: the answer is the same, in fewer steps.
[ "$(greedy)" = "$answer" ] || fail "with drafts: $(greedy), without: $answer"
[ "$(metric accepted_tokens_total)" -gt 0 ] || fail "no draft came"
call POST /v1/adapters/task/ctl --data-binary 'rollback 2' >/dev/null
await task '^failed: v2 was trained on'
stop_daemon

n=0
# PEFT's files name the repository where it is known, and one that names another is taken with a
# word about it.
cp -r "$BASE" "$WORK/pulled"
chmod -R u+w "$WORK/pulled"
echo '{"repository": "org/small-14m", "revision": "abc"}' >"$WORK/pulled/lorafs-source.json"
BASE=$WORK/pulled
DATA=$WORK/data2
mkdir "$DATA"
serve
train named red
await named '^ready v1$'
call GET /v1/adapters/named/files/adapter/adapter_config.json | grep -q '"org/small-14m"' ||
    fail "$(call GET /v1/adapters/named/files/adapter/adapter_config.json)"
call GET /v1/bases/pulled/files/info | grep -q '^repository  *org/small-14m@abc$'
call GET /v1/bases/pulled/files/info | grep -qE '^sha256  *[0-9a-f]{64}$'
python3 - "$WORK/weights" "$WORK/bare" <<'PYTHON'
# The same weights without lorafs' note, as another program would have saved them.
import json, struct, sys
data = open(sys.argv[1], "rb").read()
n = struct.unpack("<Q", data[:8])[0]
head = json.loads(data[8:8 + n])
del head["__metadata__"]["lorafs"]
text = json.dumps(head).encode()
open(sys.argv[2], "wb").write(struct.pack("<Q", len(text)) + text + data[8 + n:])
PYTHON
for name in meta/Llama-2-7b org/small-14m /models/small-14m; do
    sed "s|\"base_model_name_or_path\": \"[^\"]*\"|\"base_model_name_or_path\": \"$name\"|" \
        "$WORK/adapter_config.json" >"$WORK/named.json"
    adapter=a${name##*/}
    adapter=${adapter//[^a-z0-9]/}$((++n))
    new_adapter "$adapter"
    put "$adapter" adapter/adapter_config.json "$WORK/named.json" >/dev/null
    put "$adapter" adapter/adapter_model.safetensors "$WORK/bare" >/dev/null
    case $name in
    meta/*) await "$adapter" '^ready v1; it names the base meta/Llama-2-7b, here is org/' ;;
    *) await "$adapter" '^ready v1$' ;;
    esac
done
stop_daemon

# A base whose tokens are others drafts nothing.
mkdir "$WORK/tokens"
ln -s "$BASE"/* "$WORK/tokens/"
rm "$WORK/tokens/tokenizer.json"
"${PYTHON:-python3}" - "$BASE/tokenizer.json" "$WORK/tokens/tokenizer.json" <<'PYTHON'
import json, sys
tokenizer = json.load(open(sys.argv[1]))
words = tokenizer["model"]["vocab"]
(a, i), (b, k) = list(words.items())[40:42]
words[a], words[b] = k, i
json.dump(tokenizer, open(sys.argv[2], "w"))
PYTHON
"$BIN/lorafsd" --base "$BASE" --data "$DATA" --no-tcp --device "$DEVICE" --draft "$WORK/tokens" \
    2>"$WORK/refused" && fail "it serves with the drafts of another tokenizer"
grep -q "draft base: its tokenizer is not the base's: token 40 is" "$WORK/refused" ||
    fail "$(cat "$WORK/refused")"
