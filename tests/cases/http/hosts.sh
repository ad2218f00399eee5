# Three daemons behind HAProxy, with share/haproxy's configuration: what is trained on one is served
# by all, by a directory that two share and by HTTP for the third; a daemon that is killed takes its
# own streams with it alone; a restart of each in turn loses nothing.
#
# Each is on a host of its own, a network namespace, and HAProxy on a router between them; where
# these may not be made, all are on one host, with a port each.
router() {
    ip link add name wire type veth peer name end && ip link delete wire &&
        echo 1 >/proc/sys/net/ipv4/ip_forward
}
export -f router
if [ -z "${LF_ROUTER:-}" ] && unshare -n bash -c router 2>/dev/null; then
    LF_ROUTER=yes exec unshare -n bash -e "$0"
fi
. "$TEST_LIB/http.sh"
need haproxy
SHARED=$WORK/shared
echo sesame >"$WORK/key"
AUTH="Authorization: Bearer sesame"
declare -A PID AT HOST # the process of a daemon, its address, one that holds its namespace

# host NAME NUMBER: an address for it, and a wire from the router.
host() {
    unshare -n sleep infinity 3>&- &
    HOST[$1]=$!
    unshared() { [ "$(readlink "/proc/${HOST[$1]}/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
    wait_until 10 unshared "$1" || fail "no namespace"
    ip link add name "to-$1" type veth peer name wire netns "${HOST[$1]}"
    ip address add "10.77.$2.1/24" dev "to-$1"
    ip link set "to-$1" up
    nsenter -n -t "${HOST[$1]}" sh -ec "ip link set lo up; ip address add 10.77.$2.2/24 dev wire
        ip link set wire up; ip route add default via 10.77.$2.1"
    AT[$1]=10.77.$2.2:0
}
if [ -n "${LF_ROUTER:-}" ]; then
    router
    ip link set lo up
    host a 1
    host b 2
    host c 3
else
    say "no network namespaces: all on one host"
fi

address_in() { sed -n 's/.* listening on \([0-9.]*:[0-9]*\) .*/\1/p' "$1" | tail -n 1; }
is_up() {
    AT[$1]=$(address_in "$WORK/$1.log")
    [ -n "${AT[$1]}" ] && curl -sf "${AT[$1]}/health"
}

# up NAME [OPTION...]: at the address that it had before.
up() {
    local name=$1
    shift
    ${HOST[$name]:+nsenter -n -t "${HOST[$name]}"} "$BIN/lorafsd" --base "$BASE" \
        --data "$WORK/$name" --listen "${AT[$name]:-127.0.0.1:0}" \
        --device "$DEVICE" --api-key-file "$WORK/key" --lame-duck 2 --drain 60 "$@" \
        2>>"$WORK/$name.log" 3>&- &
    PID[$name]=$!
    wait_until 60 is_up "$name" || fail "$name does not answer"
}
up_a() { up a --share "$SHARED"; }
up_b() { up b --share "$SHARED" --train-tokens 0; }
up_c() {
    up c --peers "http://${AT[a]},http://${AT[b]}/" --peers-key-file "$WORK/key" --train-tokens 0
}
up_a
up_b
up_c

sed -e "s/10.0.0.1:8080/${AT[a]}/; s/10.0.0.2:8080/${AT[b]}/; s/10.0.0.3:8080/${AT[c]}/" \
    -e "s|bind :8000|bind $WORK/haproxy.sock|; s/inter 1s/inter 100ms/" \
    -e "s|log /dev/log|log stdout format raw|" \
    "$LF_SOURCE/share/haproxy/haproxy.cfg" >"$WORK/haproxy.cfg"
haproxy -db -f "$WORK/haproxy.cfg" >"$WORK/haproxy.log" 2>&1 3>&- &
PID[haproxy]=$!
wait_until 20 curl -sf --unix-socket "$WORK/haproxy.sock" http://lorafs/health ||
    fail "HAProxy passes nothing on"

# through CURL-ARGUMENT...: by HAProxy. from NAME CURL-ARGUMENT...: by a daemon itself.
through() { curl -sS --unix-socket "$WORK/haproxy.sock" -H "$AUTH" "${@:2}" "http://lorafs$1"; }
from() { curl -sS -H "$AUTH" "${@:3}" "http://${AT[$1]}$2"; }
ask() { # WHO ADAPTER
    "$@" /v1/completions -d "{\"model\": \"$ADAPTER\", \"prompt\": \"Item 5 is\", \"max_tokens\": 3,
        \"temperature\": 0}"
}
says() { # WORD ADAPTER WHO...
    local word=$1 ADAPTER=$2
    shift 2
    ask "$@" | grep -q "\" $word"
}
rows_of() { # ADAPTER WORD
    rows 16 "$2" >"$WORK/rows.jsonl"
    through "/v1/adapters/$1/files/dataset.jsonl?train=1" -f -X PUT \
        --data-binary "@$WORK/rows.jsonl"
}

# What is trained through HAProxy is trained on one, and served by each as soon as it is asked for.
through /v1/adapters -f -d "{\"name\": \"red\", \"config\": $(settings 12)}" >/dev/null
rows_of red red >/dev/null
for who in a b c; do
    wait_until 30 says red red from $who || fail "$who does not serve red: $(ask from $who)"
done
from b /v1/adapters/red/files/config.json | grep -q '"steps": *12' || fail "its settings are lost"

# A version more, and back to the one before: each where it was asked for, then everywhere.
rows_of red blue >/dev/null
for who in a b c; do
    wait_until 30 says blue red from $who || fail "$who does not serve the new version"
done
from b /v1/adapters/red/ctl -f -d 'rollback 1' >/dev/null
for who in a b c; do wait_until 30 says red red from $who || fail "$who does not go back"; done
[ "$(ls "$SHARED/versions" | wc -l)" = 2 ]

# Bytes that are not what was published become nobody's version.
read -r first _ < <(ls "$SHARED/versions")
good=$(sed -n 's/.*"sha256":"\([0-9a-f]*\)".*/\1/p' "$SHARED/current/red.json")
other=$([ "$first" = "$good" ] && ls "$SHARED/versions" | tail -n 1 || echo "$first")
bad=${good:0:60}0000
cp -r "$SHARED/versions/$other" "$SHARED/versions/$bad"
sed "s/$good/$bad/" "$SHARED/current/red.json" >"$WORK/evil.json"
mv "$WORK/evil.json" "$SHARED/current/evil.json"
says . evil from b && fail "b serves what nobody published"
ADAPTER=evil ask from b | grep -q 'not what was published' || fail "$(ADAPTER=evil ask from b)"
ADAPTER=evil ask from c | grep -q '"error"'
from b /v1/adapters | refuses grep -q evil
[ ! -e "$WORK/c/shared/versions/$bad" ]
rm -r "$SHARED/versions/$bad" "$SHARED/current/evil.json"

# What comes slowly keeps nobody waiting but those who asked for it, and comes once for all of them.
weights=$SHARED/versions/$other/adapter_model.safetensors
mv "$weights" "$WORK/weights"
mkfifo "$weights"
sed "s/$good/$other/" "$SHARED/current/red.json" >"$WORK/new.json"
mv "$WORK/new.json" "$SHARED/current/slow.json"
waiting=()
for i in 1 2; do
    ADAPTER=slow ask from b >"$WORK/slow.$i" &
    waiting+=($!)
done
cp "$SHARED/current/red.json" "$WORK/new.json"
mv "$WORK/new.json" "$SHARED/current/quick.json"
says red quick from b || fail "it waits for another adapter: $(ADAPTER=quick ask from b)"
[ ! -s "$WORK/slow.1" ] && [ ! -s "$WORK/slow.2" ] || fail "$(cat "$WORK"/slow.*)"
cat "$WORK/weights" >"$weights"
wait "${waiting[@]}"
for i in 1 2; do grep -q '" blue' "$WORK/slow.$i" || fail "$(cat "$WORK/slow.$i")"; done
rm "$weights"
mv "$WORK/weights" "$weights"

# One that is killed takes its own streams with it: those of others end as they would, and who
# asks anew is answered.
names=(e1 e2 e3 e4 e5 e6 e7 e8 e9)
for name in "${names[@]}"; do
    cp "$SHARED/current/red.json" "$WORK/new.json"
    mv "$WORK/new.json" "$SHARED/current/$name.json"
done
for name in "${names[@]}"; do
    wait_until 30 says . "$name" from c || fail "c does not know $name: $(ADAPTER=$name ask from c)"
done
stream() { # NAME
    local status=0
    through /v1/completions -N -D "$WORK/$1.head" -d "{\"model\": \"$1\", \"stream\": true,
        \"prompt\": \"Item 5 is\", \"temperature\": 0, \"ignore_eos\": true, \"max_tokens\": 400}" \
        >"$WORK/$1.out" 2>/dev/null || status=$?
    echo $status >"$WORK/$1.status"
}
host_of() { sed -n 's/^x-lorafs-host: *\([abc]\).*/\1/Ip' "$WORK/$1.head"; }
streams=()
for name in "${names[@]}"; do
    stream "$name" &
    streams+=($!)
done
for name in "${names[@]}"; do
    wait_until 30 grep -q data: "$WORK/$name.out" || fail "$name: $(cat "$WORK/$name.out")"
done
victim=$(for name in "${names[@]}"; do host_of "$name"; done | grep -v a | sort | uniq -c |
    sort -n | sed -n '$s/.* //p')
[ -n "$victim" ] || fail "all is on one daemon"
end_process "${PID[$victim]}"
for name in "${names[@]}"; do
    says . "$name" through || fail "$name is not answered"
done
wait "${streams[@]}"
lost=0
for name in "${names[@]}"; do
    if [ "$(host_of "$name")" = "$victim" ]; then
        lost=$((lost + 1))
    else
        grep -q '\[DONE\]' "$WORK/$name.out" || fail "$name, of $(host_of "$name"), did not end"
    fi
done
say "$victim had $lost of ${#names[@]} streams"
up_$victim

# Each in turn is restarted under load: nobody notices.
asker() {
    local i=$1
    until [ -e "$WORK/enough" ]; do
        i=$((i % 9 + 1))
        through /v1/completions -o /dev/null -w '%{http_code}\n' -d "{\"model\": \"e$i\",
            \"prompt\": \"Item 5 is\", \"temperature\": 0, \"max_tokens\": 8}" || echo failed
    done >"$WORK/codes.$1" 2>&1
}
enough_asked() { [ "$(cat "$WORK"/codes.* | wc -l)" -ge "$1" ]; }
askers=()
for i in 1 2 3 4; do
    asker $i &
    askers+=($!)
done
asked=20
for who in a b c; do
    wait_until 30 enough_asked $asked || fail "nobody is answered: $(cat "$WORK"/codes.*)"
    stop_process "${PID[$who]}" "$who"
    wait_until 30 enough_asked $((asked + 20)) || fail "nobody is answered without $who"
    up_$who
    asked=$(($(cat "$WORK"/codes.* | wc -l) + 20))
done
touch "$WORK/enough"
wait "${askers[@]}"
say "$(cat "$WORK"/codes.* | sort | uniq -c)"
[ "$(cat "$WORK"/codes.* | sort -u)" = 200 ] || fail "a restart was noticed"

# What is removed on one is in everybody's trash.
from a /v1/adapters/red -f -X DELETE >/dev/null
gone() { from "$1" /v1/adapters/red -o /dev/null -w '%{http_code}' | grep -q 404; }
for who in b c; do wait_until 30 gone $who || fail "$who has it still"; done
ADAPTER=red ask from b | grep -q '"not_found"'
from b /v1/trash | grep -q '"red"'
