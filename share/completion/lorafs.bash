# bash completion of lorafs: commands, options and words come from its own --help, names of
# adapters from the daemon.
_lorafs()
{
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(lorafs help | sed -n 's/^  \([a-z]*\) .*/\1/p') help" -- "$word")
        return
    fi
    local page value=
    if [[ $command =~ ^(land|key)$ && $COMP_CWORD -eq 2 ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(lorafs "$command" --help | sed -n 's/^  \([a-z]*\) .*/\1/p')" -- "$word")
        return
    fi
    [[ ! $command =~ ^(land|key)$ ]] || command="$command ${COMP_WORDS[2]}"
    # shellcheck disable=SC2086 # a command of two words
    page=$(lorafs $command --help 2>/dev/null) || return
    [[ ! $before =~ ^--?[a-z][a-z-]*$ ]] ||
        value=$(sed -n "s/^ .*$before \([^ ]*\).*/\1/p" <<<"$page" | head -n 1)
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(grep -o -- '--[a-z-]*' <<<"$page" | sort -u)" -- "$word")
    elif [[ $before == -* && $value == *'|'* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "${value//|/ }" -- "$word")
    elif [[ $before == -* && $value =~ ^(DIR|BASE)$ ]]; then
        mapfile -t COMPREPLY < <(compgen -d -- "$word")
    elif [[ $command == cp && $word != *[:/]* ]]; then
        compopt -o nospace
        mapfile -t COMPREPLY < <(compgen -f -W "$(lorafs ls 2>/dev/null | sed 's/$/:/')" -- "$word")
    elif [[ " status wait log diff run chat train export rm cancel pause resume finish retry rollback " == *" $command "* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(lorafs ls 2>/dev/null)" -- "$word")
    elif [[ $command == 'land tasks' || $command == 'land prepare' ]]; then
        mapfile -t COMPREPLY < <(compgen -f -W "$(lorafs land tasks 2>/dev/null | cut -d ' ' -f 1)" -- "$word")
    elif [[ $command == bench && $COMP_CWORD -eq 2 ]]; then
        mapfile -t COMPREPLY < <(compgen -W "decode prefill train tokenize serve" -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}
complete -o filenames -o bashdefault -F _lorafs lorafs
