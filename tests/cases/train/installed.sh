# What is installed finds its own files, and keeps out of the data directory of a daemon;
# a system without apt-get is told what it needs; completions complete, whatever was typed before.
. "$TEST_LIB/common.sh"
need cmake
cmake --install "$BUILD_DIR" --prefix "$WORK/local" >"$WORK/install.log" 2>&1 ||
    skip "this build installs nothing: $(tail -n 1 "$WORK/install.log")"
[ ! -e "$WORK/local/share/lorafs" ] || fail "share/lorafs is the data directory of ~/.local"
"$WORK/local/bin/lorafs" land tasks | grep -c '^viggo '
for page in man1/lorafs.1 man5/lorafs-config.5 man5/lorafs.conf.5 man8/lorafsd.8; do
    [ -s "$WORK/local/share/man/$page" ] || fail "no $page"
done
[ -s "$WORK/local/share/fish/vendor_completions.d/lorafs.fish" ]

# Nothing here but bash and cat.
mkdir "$WORK/bin"
for program in bash cat id; do
    ln -s "$(command -v $program)" "$WORK/bin/$program"
done
refuses env PATH="$WORK/bin" bash -euc ". '$LF_SOURCE/tools/packages'
    install_missing libjansson-dev cmake"
refused_with 'no apt-get here'
refused_with '^  libjansson-dev'
LORAFS_SKIP_PACKAGES=1 PATH="$WORK/bin" bash -euc ". '$LF_SOURCE/tools/packages'
    install_missing libjansson-dev cmake"

# complete WORD...: what bash would offer for the last one.
complete_() {
    PATH=$BIN:$PATH bash -euc 'complete() { :; }
        compopt() { :; }
        . "$1"
        shift
        COMP_WORDS=(lorafs "$@") COMP_CWORD=$#
        _lorafs 2>&1
        printf "%s\n" "${COMPREPLY[@]:-}"' bash "$LF_SOURCE/share/completion/lorafs.bash" "$@"
}
fish_() { PATH=$BIN:$PATH HOME=$WORK fish -c "source '$LF_SOURCE/share/completion/lorafs.fish'
    complete -C '$1'" | cut -f 1; }
if command -v fish >/dev/null; then
    [ "$(fish_ 'lorafs rollb')" = rollback ]
    fish_ 'lorafs serve --ba' | grep -cx -- --base
    fish_ 'lorafs land ' | grep -cx prepare
fi
[ "$(complete_ roll)" = rollback ]
complete_ serve --ba | grep -cx -- --base
[ "$(complete_ serve --device cu)" = cuda ]
for before in "$WORK/a/b" 's/x/y' '[' '--x/y' '-'; do
    ! complete_ train "$before" x 2>&1 | grep -i 'sed\|error\|unbound' || fail "after '$before'"
done
