# Sourced by the cases of page/: http.sh, and a browser that clicks.
. "$TEST_LIB/http.sh"
need chromium chromedriver

# browse FILE ARGUMENT...: what is done in the browser, a module of this folder.
browse() {
    URL=$URL WORK=$WORK PYTHONPATH=$LF_SOURCE/tests/lib "${PYTHON:-python3}" \
        "$TEST_LIB/../page/$1" "${@:2}" || {
        [ ! -f "$WORK/failed.png" ] || say "what was seen last: $WORK/failed.png"
        fail "$*"
    }
}
