# lorafs chat: turns with their history, as they come; without a chat template it says so.
. "$TEST_LIB/http.sh"
cp -r "$BASE" "$WORK/base"
"${PYTHON:-python3}" - "$WORK/base/tokenizer_config.json" <<'END'
import json
import sys
config = json.load(open(sys.argv[1], encoding="utf-8"))
config["chat_template"] = ("{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n"
                           "{% endfor %}<assistant>")
json.dump(config, open(sys.argv[1], "w", encoding="utf-8"))
END
BASE=$WORK/base serve
export LORAFS_URL=$URL
chat() { "$BIN/lorafs" chat base -n 8 -T 0 "$@"; }

# A history is what two turns leave; the second was asked with the first.
printf 'Hello there\n\nAnd then\n/history\n/exit\nnot asked\n' |
    chat --system 'Be brief' >"$WORK/out"
grep -A 99 '^\[$' "$WORK/out" >"$WORK/history"
"${PYTHON:-python3}" - "$WORK/history" <<'END'
import json
import sys
turns = json.load(open(sys.argv[1], encoding="utf-8"))
assert [t["role"] for t in turns] == ["system", "user", "assistant", "user", "assistant"], turns
assert [t["content"] for t in turns if t["role"] != "assistant"] == [
    "Be brief", "Hello there", "And then"], turns
END
printf 'Hello there\n/clear\n/history\n' | chat --system 'Be brief' |
    grep -A 99 '^\[$' >"$WORK/history"
[ "$(grep -c role "$WORK/history")" = 1 ]
chat Hello there --system 'Be brief' >"$WORK/one"
head -n "$(wc -l <"$WORK/one")" "$WORK/out" | cmp - "$WORK/one" # the first turn's answer
refuses "$BIN/lorafs" chat nobody hello
refused_with 'nobody'
stop_daemon

cp "$LF_SOURCE/share/base/tokenizer_config.json" "$WORK/base/"
"${PYTHON:-python3}" - "$WORK/base/tokenizer_config.json" <<'END'
import json
import sys
config = json.load(open(sys.argv[1], encoding="utf-8"))
config.pop("chat_template", None)
json.dump(config, open(sys.argv[1], "w", encoding="utf-8"))
END
rm -f "$WORK"/base/chat_template*
BASE=$WORK/base serve
LORAFS_URL=$URL refuses "$BIN/lorafs" chat base hello
refused_with 'no chat template'
