# Every route is refused without the role that it takes, and every adapter without a grant; keys
# count at once; unix sockets know who asks; data is its owner's; no open door without --insecure.
. "$TEST_LIB/http.sh"
key() { "$BIN/lorafs" key "$@" --data "$DATA"; }
serve --train-tokens 0 --allow-load
for name in mine-1 other; do new_adapter "$name"; done
answers_with 200 GET /v1/tree
admin=$(key add root --role admin)
answers_with 401 GET /v1/tree # from the first key on
generate=$(key add asker --role generate)
train=$(key add trainer --role train)
granted=$(key add ci --role train --adapter 'mine-*')
limited=$(key add slow --role generate --rate 3)
refuses key add 'a b'
refused_with "\"a b\" cannot be a key's name"
py walk.py "$generate" "$train" "$admin" "$granted"

# What lists shows what is granted alone.
auth() { echo "Authorization: Bearer $1"; }
for path in /v1/tree /v1/adapters; do
    call GET $path -H "$(auth "$granted")" >"$WORK/list"
    grep -q mine-1 "$WORK/list"
    grep -q other "$WORK/list" && fail "$path shows others"
    call GET $path -H "$(auth "$train")" | grep other >/dev/null
done
answers_with 403 POST /v1/adapters -d '{"name": "theirs"}' -H "$(auth "$granted")"
answers_with 403 POST /v1/adapters/mine-1/rename -d '{"to": "theirs"}' -H "$(auth "$granted")"
answers_with 403 DELETE /v1/models/other -H "$(auth "$granted")"
answers_with 201 POST /v1/adapters -d '{"name": "mine-2"}' -H "$(auth "$granted")"
for body in '{"model": "other", "prompt": "x"}' '{"model": "", "prompt": "x"}'; do
    answers_with 403 POST /v1/completions -d "$body" -H "$(auth "$granted")"
done
grep -q permission_error "$WORK/body"

# The trash shows, and gives back, what is granted.
for name in mine-3 gone; do
    call POST /v1/adapters -H "$(auth "$admin")" -d "{\"name\": \"$name\"}" >/dev/null
    answers_with 200 DELETE /v1/adapters/$name -H "$(auth "$admin")"
done
call GET /v1/trash -H "$(auth "$granted")" >"$WORK/list"
grep -q '"name":"mine-3"' "$WORK/list"
grep -q gone "$WORK/list" && fail "the trash shows others"
theirs=$(call GET /v1/trash -H "$(auth "$admin")" | grep -o '[0-9]*-gone[^"]*')
for entry in gone "$theirs"; do
    answers_with 403 POST "/v1/trash/$entry/restore" -H "$(auth "$granted")"
done
answers_with 403 POST /v1/trash/mine-3/restore -d '{"name": "theirs"}' -H "$(auth "$granted")"
answers_with 200 POST /v1/trash/mine-3/restore -H "$(auth "$granted")"
answers_with 403 DELETE /v1/trash -H "$(auth "$granted")"
answers_with 200 DELETE /v1/adapters/mine-3 -H "$(auth "$granted")"

# A mount shows what its key may see, and changes what it may change.
if [ -r /dev/fuse ] && [ -w /dev/fuse ]; then
    echo "$granted" >"$WORK/key"
    "$BIN/lorafs" mount --foreground --api-key-file "$WORK/key" "$URL" "$MNT" 2>>"$WORK/mount.log" &
    MOUNT=$!
    wait_until 60 is_mounted || fail "nothing is mounted"
    [ "$(cd "$MODEL" && echo *)" = 'mine-1 mine-2' ]
    echo hello >"$MODEL/mine-2/prompt"
    [ "$(cat "$MODEL/mine-2/prompt")" = hello ]
    refuses mkdir "$MODEL/theirs"
    refused_with 'Permission denied'
    refuses mv "$MODEL/mine-2" "$MODEL/theirs"
    refuses cat "$MODEL/other/prompt"
    stop_mount
    echo "$generate" >"$WORK/key"
    refuses "$BIN/lorafs" ls --url "$URL" --api-key-file "$WORK/key"
    refused_with 'this takes train'
fi

# Limits
for i in 1 2 3; do answers_with 200 GET /v1/models -H "$(auth "$limited")"; done
curl -sS -D "$WORK/head" -o /dev/null "$URL/v1/models" -H "$(auth "$limited")"
grep -q ' 429 ' "$WORK/head"
grep -Eiq '^retry-after: (1[5-9]|20|21)' "$WORK/head"

# A key that is revoked is good for nothing, at once; the others go on.
key revoke trainer
answers_with 401 GET /v1/tree -H "$(auth "$train")"
answers_with 200 GET /v1/tree -H "$(auth "$admin")"
key list >"$WORK/list"
grep -q $'\tci\ttrain\t.*\tmine-\*' "$WORK/list"
grep -q trainer "$WORK/list" && fail "it is still listed"
refuses "$BIN/lorafs" key revoke trainer --data "$DATA"

# Who owns the daemon needs no key on its unix socket; another user is asked for one.
curl -sSf --unix-socket "$SOCK" http://x/v1/tree >/dev/null
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    chmod 711 "$WORK" "$DATA"
    chmod 666 "$SOCK"
    as_nobody() { setpriv --reuid 65534 --clear-groups curl -sS -o /dev/null -w '%{http_code}' \
        --unix-socket "$SOCK" "$@" http://x/v1/tree; }
    [ "$(as_nobody)" = 401 ]
    [ "$(as_nobody -H "$(auth "$admin")")" = 200 ]
fi
chmod 600 "$SOCK"
stop_daemon

# Data is its owner's.
serve --train-tokens 0
[ "$(stat -c %a "$DATA")" = 700 ]
answers_with 200 PUT /v1/adapters/mine-1/files/prompt -d hello -H "$(auth "$admin")"
open=$(find "$DATA" \( -type f -o -type d \) -perm /077)
[ -z "$open" ] || fail "others may read $open"
stop_daemon

# What was changed, by whom, and what was refused, is in the audit log; keys are not.
audited() { grep -E "\"who\":\"$1\",\"what\":\"$2\"${3:-}" "$DATA/audit.jsonl" >/dev/null; }
audited 'uid:[0-9]+' 'lorafs key add root'
audited 'uid:[0-9]+' 'lorafs key revoke trainer'
audited key:root 'PUT /v1/adapters/mine-1/files/prompt' ',"status":200'
audited key:ci 'POST /v1/adapters' ',"status":403.*theirs'
audited anyone 'DELETE /v1/adapters/nothing' ',"status":401'
grep -E 'lf_[0-9a-f]{8}_|POST /v1/completions|GET ' "$DATA/audit.jsonl" &&
    fail "more is audited than changes"

# Beyond this machine only with keys, or when told so.
"$BIN/lorafsd" --base "$BASE" --data "$WORK/bare" --listen 0.0.0.0:0 2>"$WORK/refusal.txt" &&
    fail "it listens to the world"
grep -q 'insecure' "$WORK/refusal.txt"
for words in "--data $DATA" "--data $WORK/bare --insecure"; do
    rm -f "$WORK/world.log" # or the one before is waited for
    # shellcheck disable=SC2086
    "$BIN/lorafsd" --base "$BASE" --device "$DEVICE" --listen 0.0.0.0:0 $words \
        2>"$WORK/world.log" &
    DAEMON=$!
    wait_until 60 grep -q 'listening on 0.0.0.0' "$WORK/world.log" || fail "$words does not listen"
    stop_daemon
done
