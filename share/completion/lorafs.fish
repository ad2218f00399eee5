# fish completion of lorafs: commands and options come from its own --help, names of adapters from
# the daemon.

function __lorafs_words # the words before the cursor that are no options, without "lorafs"
    for word in (commandline -opc)[2..-1]
        string match -q -- '-*' $word; or echo $word
    end
end

function __lorafs_commands
    lorafs help | string match -r '^  [a-z]+ .*' | string replace -r '^  ([a-z]+) +' '$1\t'
end

function __lorafs_words_of
    lorafs $argv[1] --help | string match -r '^  [a-z]+ .*' | string replace -r '^  ([a-z]+) +' '$1\t'
end

function __lorafs_options
    set -l words (__lorafs_words)
    set -q words[1]; or return
    set -l command $words[1]
    contains -- $command land key; and set -q words[2]; and set command $command $words[2]
    lorafs $command --help 2>/dev/null | string match -r '^  .*--[a-z-]+' |
        string match -r -- '--[a-z-]+'
end

function __lorafs_takes_names
    set -l words (__lorafs_words)
    set -q words[1]; and contains -- $words[1] status wait log diff run chat train export rm \
        cancel pause resume finish retry rollback
end

function __lorafs_is
    set -l words (__lorafs_words)
    test "$words" = "$argv"
end

complete -c lorafs -n 'test (count (__lorafs_words)) = 0' -f -a '(__lorafs_commands) help'
complete -c lorafs -n '__lorafs_is land' -f -a '(__lorafs_words_of land)'
complete -c lorafs -n '__lorafs_is key' -f -a '(__lorafs_words_of key)'
complete -c lorafs -n '__lorafs_is bench' -f -a 'decode prefill train tokenize serve'
complete -c lorafs -n '__lorafs_takes_names' -f -a '(lorafs ls 2>/dev/null)'
complete -c lorafs -n 'string match -q -- "-*" (commandline -ct)' -f -a '(__lorafs_options)'
