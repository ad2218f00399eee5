# Where there are keys a person logs in: a wrong key is told, one that may only ask is shown what it
# may do, one for some adapters sees those alone, and the key is kept for the tab's life.
. "$TEST_LIB/page.sh"
key() { "$BIN/lorafs" key "$@" --data "$DATA"; }
serve
train mine-1 red
train other red
for name in mine-1 other; do await "$name" '^ready v1'; done
generate=$(key add asker --role generate)
train=$(key add trainer --role train --adapter 'mine-*')
browse key.py "$generate" "$train"
