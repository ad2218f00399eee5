# The two files of an import are there from the moment each is written, so that programs that set
# modes and times afterwards go on; a PEFT directory may be copied as the model's own.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter from 12
rows 8 red >"$MODEL/from/dataset.jsonl"
wait_status from '^ready v1$'
cp -r "$MODEL/from/adapter" "$WORK/peft"
n=0
files='adapter_config.json adapter_model.safetensors'
echo 'Item 1 is' >"$MODEL/from/prompt"
cat "$MODEL/from/generate" >"$WORK/wanted"

# answers NAME: it is served, and says what `from` says.
answers() {
    wait_status "$1" '^ready v1$'
    echo 'Item 1 is' >"$MODEL/$1/prompt"
    cat "$MODEL/$1/generate" | cmp - "$WORK/wanted" || fail "$1 answers otherwise"
}

for order in "$files" "$(echo $files | tac -s ' ' | tr '\n' ' ')"; do
    name=p$((++n))
    mkdir "$MODEL/$name"
    for file in $order; do
        cp "$WORK/peft/$file" "$MODEL/$name/adapter/"
        cmp "$WORK/peft/$file" "$MODEL/$name/adapter/$file"
        chmod 600 "$MODEL/$name/adapter/$file"
        touch -d yesterday "$MODEL/$name/adapter/$file"
    done
    answers "$name"
done

mkdir "$MODEL/ins" "$MODEL/py"
install -m 600 -p "$WORK/peft/"* "$MODEL/ins/adapter/"
answers ins
python3 -c 'import os, shutil, sys
for f in sorted(os.listdir(sys.argv[1]), reverse=True):
    shutil.copy2(os.path.join(sys.argv[1], f), sys.argv[2])' "$WORK/peft" "$MODEL/py/adapter/"
answers py

# As the model's directory.
cp -r "$WORK/peft" "$MODEL/whole"
answers whole
cp -a "$WORK/peft" "$MODEL/same"
answers same
cp -r "$WORK/peft" "$WORK/other"
mv "$WORK/other" "$MODEL/moved"
[ ! -e "$WORK/other" ]
answers moved
copytree='import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2])'
python3 -c "$copytree" "$WORK/peft" "$MODEL/tree"
answers tree
tar -C "$WORK/peft" -cf "$WORK/a.tar" .
mkdir "$MODEL/tar"
tar -C "$MODEL/tar" -xf "$WORK/a.tar"
answers tar
if command -v rsync >/dev/null; then
    for options in -a '-a --inplace' -rt; do
        name=r$((++n))
        rsync $options "$WORK/peft/" "$MODEL/$name/"
        answers "$name"
        name=r$((++n))
        mkdir "$MODEL/$name"
        rsync $options "$WORK/peft/" "$MODEL/$name/adapter/"
        answers "$name"
    done
fi
[ -z "$(ls "$MNT/jobs" | tail -n +2)" ] || fail "a job ran"
