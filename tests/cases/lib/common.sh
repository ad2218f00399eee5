# Sourced first by every case: a daemon on the embedded base, its mount, and the end of both.
# tests/README.md says what a case may rely on.
set -Eeuo pipefail
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1
unset "${!LORAFS_@}" # presets of whoever runs this

CASE=$(basename "$0" .sh)
BIN=$BUILD_DIR/bin
BASE=$LF_SOURCE/share/base
WORK=$(mktemp -d "${TMPDIR:-/tmp}/lorafs-$CASE.XXXXXX") # short: a socket's path has 107 bytes
export XDG_CONFIG_HOME=$WORK/config # nor a lorafs.conf
DATA=$WORK/data
SOCK=$DATA/lorafsd.sock
MNT=$WORK/mnt
MODEL=$MNT/model
DEVICE=${LF_DEVICE:-cpu}
DAEMON=
MOUNT=

say() { echo "-- $*" >&2; }

fail() {
    say "FAILED: $*"
    exit 1
}

skip() {
    say "skipped: $*"
    exit 77
}

# need PROGRAM...: skips where one is missing.
need() {
    local program
    for program; do
        command -v "$program" >/dev/null || skip "$program is not installed"
    done
}

# need_module NAME...: skips where PYTHON lacks one.
need_module() {
    local module
    for module; do
        "${PYTHON:-python3}" -c "import $module" 2>/dev/null || skip "python has no $module"
    done
}

# check NAME ARGS...: an assertion of checks.py.
check() { "${PYTHON:-python3}" "$TEST_LIB/checks.py" "$@" || fail "check $*"; }

# Limits are in seconds of a machine of one's own. Others use it, too, and sanitizers slow it down.
SLOWER=4
[ -z "${SANITIZE:-}" ] || SLOWER=12

# wait_until SECONDS COMMAND...: runs it until it succeeds.
wait_until() {
    local end=$((SECONDS + $1 * SLOWER))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}

# ---- The daemon and the mount. They do not inherit descriptor 3, which is for cases to hold open.

start_daemon() {
    "$BIN/lorafsd" --base "$BASE" --data "$DATA" --device "$DEVICE" --no-tcp "$@" \
        2>>"$WORK/daemon.log" 3>&- &
    DAEMON=$!
    check answers "$SOCK" "$DAEMON"
}

# stop_process PID WHAT: ends it cleanly; its exit status must be 0.
stop_process() {
    local status=0
    kill -TERM "$1" 2>/dev/null || true
    wait "$1" || status=$?
    [ $status = 0 ] || say "FAILED: $2 ended with status $status"
    return $status
}

stop_daemon() {
    local pid=$DAEMON
    DAEMON=
    [ -z "$pid" ] || stop_process "$pid" "the daemon"
}

# end_process PID: with SIGKILL, and without a word of bash about it.
end_process() {
    kill -KILL "$1"
    wait "$1" 2>/dev/null || true
}

kill_daemon() {
    end_process "$DAEMON"
    DAEMON=
}

# The tree answers: `mountpoint` alone is content with a mount whose process has died.
is_mounted() { mountpoint -q "$MNT" && head -c 1 "$MNT/README"; }

# start_mount [OPTION...]
start_mount() {
    [ -r /dev/fuse ] && [ -w /dev/fuse ] || skip "there is no /dev/fuse for us"
    "$BIN/lorafs" mount --foreground "$@" "unix:$SOCK" "$MNT" 2>>"$WORK/mount.log" 3>&- &
    MOUNT=$!
    wait_until 60 is_mounted || fail "nothing is mounted"
}

stop_mount() {
    local pid=$MOUNT
    MOUNT=
    [ -z "$pid" ] || stop_process "$pid" "the mount"
}

# ---- Adapters -----------------------------------------------------------------------------------

# settings [STEPS [MAX_TOKENS]]: a config.json whose training takes a second.
settings() {
    echo "{\"rank\": 4, \"steps\": ${1:-2}, \"batch_size\": 2, \"max_length\": 32," \
        "\"learning_rate\": 0.003, \"max_tokens\": ${2:-16}}"
}

# rows N WORD: a data set that teaches WORD, in 12 steps.
rows() {
    local i
    for ((i = 1; i <= $1; i++)); do
        printf '{"prompt": "Item %d is", "completion": " %s"}\n' "$i" "$2"
    done
}

# endless N: a data set that teaches to go on for ever, in 8 steps: its completions are longer than
# max_length, so that no end is learnt.
endless() {
    local i words
    words=$(printf ' red%.0s' {1..40})
    for ((i = 1; i <= $1; i++)); do
        printf '{"prompt": "Item %d is", "completion": "%s"}\n' "$i" "$words"
    done
}

# make_adapter NAME [STEPS [MAX_TOKENS]]: a directory with its settings, not trained.
make_adapter() {
    mkdir "$MODEL/$1"
    settings "${2:-2}" "${3:-16}" >"$WORK/config.json"
    cp "$WORK/config.json" "$MODEL/$1/config.json"
}

status_of() { cat "$MODEL/$1/status"; }

status_is() { status_of "$1" | grep -Eq "$2"; }

# wait_status NAME REGEX [SECONDS]: until the adapter's status says so.
wait_status() {
    wait_until "${3:-60}" status_is "$1" "$2" ||
        fail "$1 is '$(status_of "$1" || true)', not /$2/"
}

# versions_of NAME: the numbers on one line.
versions_of() { (cd "$MODEL/$1/versions" && echo [0-9]*); }

# stays NAME REGEX: after half a second the status (still) says so: nothing was started.
stays() {
    sleep 0.5
    status_is "$1" "$2" || fail "$1 is '$(status_of "$1")', not /$2/"
}

# refuses COMMAND...: it must fail. (With `! COMMAND` bash goes on either way.)
refuses() {
    local status=0
    "$@" 2>"$WORK/refused" || status=$?
    [ $status != 0 ] || fail "'$*' went through"
    [ $status -lt 128 ] && ! grep -E "$SUSPICIOUS" "$WORK/refused" >&2 ||
        fail "'$*' did not refuse, it died: $status"
}

# refused_with TEXT: what the last `refuses` said.
refused_with() { grep -q "$1" "$WORK/refused" || fail "refused with: $(cat "$WORK/refused")"; }

# ---- The end ------------------------------------------------------------------------------------

# What a log, or a refusal, must not say, whatever the exit status was.
SUSPICIOUS='Sanitizer|runtime error|broken invariant|Segmentation|Aborted|core dumped|double free'
SUSPICIOUS="$SUSPICIOUS|corrupt|fuse: writing device"

# What a case has mounted or made outside of WORK goes here: the case defines it anew.
at_end() { :; }

finish() {
    local status=$? job
    trap - EXIT
    set +e
    for job in $(jobs -p); do
        [ "$job" = "$DAEMON" ] || [ "$job" = "$MOUNT" ] || end_process "$job" 2>/dev/null
    done
    stop_mount || status=1
    stop_daemon || status=1
    mountpoint -q "$MNT" && umount -l "$MNT"
    at_end
    if grep -EHn "$SUSPICIOUS" "$WORK"/*.log >&2; then
        say "FAILED: suspicious lines in a log"
        status=1
    fi
    if [ $status = 0 ] || [ $status = 77 ]; then
        rm -rf "$WORK"
    else
        tail -n 40 "$WORK"/*.log >&2
        say "left behind: $WORK"
    fi
    exit $status
}
trap finish EXIT
trap 'say "line $LINENO: $BASH_COMMAND"' ERR

mkdir "$MNT"
touch "$WORK/daemon.log" "$WORK/mount.log"
[ "$DEVICE" != cuda ] || [ -e /dev/nvidia0 ] || skip "there is no card"
