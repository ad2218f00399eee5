# A study of ten bases and 31 tasks on one host, in one daemon: the device has room for three of
# them at a time. They come when it is their turn and make way for each other, and what is learnt on
# the last is what it learns in a daemon of its own. 310 trainings are many small files: in memory.
room=$(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1)
[ "${room:-0}" -lt 200 ] || [ ! -w /dev/shm ] || export TMPDIR=/dev/shm
. "$TEST_LIB/common.sh"
[ "$DEVICE" = cpu ] || skip "memory is counted on the cpu device"
"${PYTHON:-python3}" "$LF_SOURCE/tests/lib/random_checkpoint.py" "$WORK/bases/b1" "$BASE" \
    --hidden 32 --layers 1 --heads 2 --kv-heads 1 --inner 64 --vocab 4096
"${PYTHON:-python3}" - "$WORK" 10 31 <<'PYTHON'
import json, pathlib, shutil, struct, sys
work, n_bases, n_tasks = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for n in range(2, n_bases + 1):  # each with other signs than the first
    folder = shutil.copytree(work / "bases/b1", work / f"bases/b{n}")
    path = folder / "model-00001-of-00001.safetensors"
    data = bytearray(path.read_bytes())
    first = 8 + struct.unpack("<Q", data[:8])[0] + 1
    data[first :: 2 * n] = bytes(x ^ 0x80 for x in data[first :: 2 * n])
    path.write_bytes(data)
task = {"title": "A word", "category": "Knowledge", "metric": "exact_match", "max_tokens": 1,
        "stop": ["\n"], "shots": 0, "prompt": "{prompt}", "completion": "{completion}",
        "data": [{"source": "made here", "get": "made here", "licence": "CC0", "fidelity": "exact",
                  "format": "jsonl", "train": ["train.jsonl"], "test": ["test.jsonl"]}]}
for k in range(n_tasks):
    folder = work / "data" / f"t{k}"
    folder.mkdir(parents=True)
    for name, n in (("train", 4), ("test", 1)):
        rows = [{"prompt": f"Item {i} of {k} is", "completion": " red"} for i in range(n)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (work / f"t{k}.json").write_text(json.dumps(task))
study = {"title": "Many", "bases": [f"bases/b{n + 1}" for n in range(n_bases)], "data": "data",
         "tasks": [f"./t{k}.json" for k in range(n_tasks)], "together": True,
         "settings": {"steps": 2, "batch_size": 2, "learning_rate": 0.003, "rank": 4,
                      "target_modules": "q_proj,v_proj"},
         "daemon": {"device": "cpu", "kv_tokens": 512, "batch_tokens": 128, "train_tokens": 128,
                    "memory": "18MB", "base_cycle": 600}}
(work / "study.json").write_text(json.dumps(study))
study.update(bases=study["bases"][-1:], tasks=study["tasks"][-3:], together=False)
(work / "alone.json").write_text(json.dumps(study))
PYTHON
for study in study alone; do
    "$BIN/lorafs" land run "$WORK/$study.json" --out "$WORK/$study" --quiet >"$WORK/matrix"
done
[ "$(wc -l <"$WORK/study/results.csv")" = 311 ] || fail "$(cat "$WORK/matrix")"

# Of the ten no more than three were there at any time.
sed -n 's/.* engine: \(b[0-9]*\): \(ready\|makes\) .*/\1 \2/p' \
    "$WORK/study/daemons/together/log" >"$WORK/came"
awk '$2 == "ready" { if (++n > most) most = n; if (!came[$1]++) bases++ }
     $2 == "makes" { n--; left++ }
     END { if (most > 3 || bases != 10 || left < 7) exit 1 }' "$WORK/came" ||
    fail "$(cat "$WORK/came")"

"${PYTHON:-python3}" - "$WORK" <<'PYTHON'
import json, pathlib, sys
work = pathlib.Path(sys.argv[1])
losses = []
for path in (work / "alone/cells/b10").iterdir():
    alone, among = (json.loads((work / study / "cells/b10" / path.name).read_text())
                    for study in ("alone", "study"))
    losses.append(alone["metrics"]["train"]["loss"])
    assert abs(losses[-1] - among["metrics"]["train"]["loss"]) < 1e-4, (path, alone, among)
assert len(losses) == 3
first = json.loads((work / "study/cells/b1" / path.name).read_text())
assert abs(losses[-1] - first["metrics"]["train"]["loss"]) > 1e-3, "two bases learn the same"
PYTHON
