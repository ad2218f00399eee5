# What is installed finds its own files, and keeps out of the data directory of a daemon;
# packages have their system's names; completions complete, whatever was typed before.
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

# Packages are named and asked for as the system does by its os-release; another one is told what it
# needs. Nothing here but bash, cat, id, and package managers that write down what they are told.
mkdir "$WORK/bin"
for program in bash cat id; do
    ln -s "$(command -v $program)" "$WORK/bin/$program"
done
for program in apt-get dnf; do
    printf '#!/bin/bash\necho "$0 $*" >>"%s/asked"\n' "$WORK" >"$WORK/bin/$program"
done
printf '#!/bin/bash\n[ "${!#}" = cmake ]\n' >"$WORK/bin/rpm"
printf '#!/bin/bash\n[ "${!#}" != cmake ] || echo ok installed\n' >"$WORK/bin/dpkg-query"
printf '#!/bin/bash\n[[ $(cat) == "$2" ]]\n' >"$WORK/bin/grep" # grep -q TEXT
chmod +x "$WORK/bin/"{apt-get,dnf,rpm,dpkg-query,grep}
# on SYSTEM [DRY_RUN]: installs there what one has (cmake), names otherwise, and has not at all.
on() {
    printf '%s\n' "$1" >"$WORK/os-release"
    rm -f "$WORK/asked"
    PATH="$WORK/bin" bash -euc '. "$1"
        OS_RELEASE=$2 DRY_RUN=$3
        install_missing cmake libjansson-dev chromium-driver lintian' \
        bash "$LF_SOURCE/tools/packages" "$WORK/os-release" "${2:-}"
}
asks() { [ "$(cat "$WORK/asked")" = "$WORK/bin/$1" ] || fail "$(cat "$WORK/asked"), not $1"; }
[ "$(id -u)" = 0 ] || ln -s /usr/bin/env "$WORK/bin/sudo"
debian='apt-get install -y -q --no-install-recommends'
on ID=debian
asks "$debian libjansson-dev chromium-driver lintian"
on $'ID=linuxmint\nID_LIKE="ubuntu debian"'
asks "$debian libjansson-dev lintian"
on ID=fedora
asks "dnf install -y -q --setopt=install_weak_deps=False jansson-devel chromedriver"
[ "$(on ID=fedora yes)" = 'would install jansson-devel chromedriver' ]
[ ! -e "$WORK/asked" ]
refuses on ID=arch
refused_with '^How this system names packages is not known'
refused_with '^  libjansson-dev'
LORAFS_SKIP_PACKAGES=1 on ID=arch
[ ! -e "$WORK/asked" ]

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
