# chat: a handle is a conversation that remembers what was said, through the base's chat template.
. "$TEST_LIB/common.sh"
need curl
start_daemon
start_mount

make_adapter talker 12
for i in 1 2 3 4 5 6 7 8; do
    echo "{\"messages\": [{\"role\": \"user\", \"content\": \"Item $i is\"}," \
        "{\"role\": \"assistant\", \"content\": \"red\"}]}"
done >"$MODEL/talker/dataset.jsonl"
wait_status talker '^ready v1$'
file=$MODEL/talker/chat

[ -z "$(cat "$file")" ] || fail "an answer to nothing"
exec 3<>"$file"
echo 'Item 1 is' >&3
first=$(cat <&3)
echo 'Item 2 is' >&3
second=$(cat <&3)
exec 3>&-
[ -n "$first" ] || fail "no answer"

# ask MESSAGES...: what the daemon answers to the whole of it.
ask() {
    python3 -c 'import json, sys
turns = [{"role": ("user", "assistant")[i % 2], "content": c} for i, c in enumerate(sys.argv[1:])]
print(json.dumps({"messages": turns}))' "$@" |
        curl -sS --unix-socket "$SOCK" --data-binary @- \
            'http://localhost/v1/adapters/talker/generate?chat=1'
}
[ "$first" = "$(ask 'Item 1 is')" ] || fail "the first turn: '$first'"
[ "$second" = "$(ask 'Item 1 is' "$first" 'Item 2 is')" ] || fail "the second turn: '$second'"
# generate puts a text in the same way, as the rows were chats.
echo 'Item 1 is' >"$MODEL/talker/prompt"
[ "$first" = "$(cat "$MODEL/talker/generate")" ] || fail "generate does not ask as it was trained"
