# vim, with its swap file and test files, and both of its ways to keep a backup.
. "$TEST_LIB/common.sh"
vim=$(command -v vim || command -v vim.tiny) || skip "vim is not installed"
start_daemon
start_mount

make_adapter task
rows 3 red >"$MODEL/task/dataset.jsonl"
wait_status task '^ready v1$'
file=$MODEL/task/dataset.jsonl

"$vim" -es -u NONE -i NONE -c 'set swapfile' -c '%s/red/blue/' -c wq "$file"
wait_status task '^ready v2$'
[ "$(cat "$file")" = "$(rows 3 blue)" ]

"$vim" -es -u NONE -i NONE -c 'set backup backupskip= writebackup backupcopy=no' \
    -c '%s/blue/green/' -c wq "$file"
wait_status task '^ready v3$'
[ "$(cat "$file")" = "$(rows 3 green)" ]
[ "$(cat "$file~")" = "$(rows 3 blue)" ]

"$vim" -es -u NONE -i NONE -c 'set backupskip= writebackup backupcopy=yes' \
    -c '%s/green/black/' -c wq "$file"
wait_status task '^ready v4$'

# The removal that backupcopy=no began has been taken back, not sent late.
sleep 1.5
[ "$(cat "$file")" = "$(rows 3 black)" ]
[ -z "$(cd "$MODEL/task" && find . -name '.*.sw*' -o -name 4913)" ]

# What is refused can be mended in the same editor.
refuses "$vim" -es -u NONE -i NONE -c '%s/{/[/' -c w -c 'cquit' "$file"
wait_status task 'dataset.jsonl: line 1'
[ "$(cat "$file")" = "$(rows 3 black)" ]
