# A list for a setting is a sweep: its trainings run side by side, the best by its evaluations
# becomes the version, with its settings; the table and the picture stay beside it; what was killed
# goes on; the worse half ends early; "trials" draws some.
. "$TEST_LIB/http.sh"
serve --checkpoint-seconds 0
lorafs() { "$BIN/lorafs" "$@"; }
export LORAFS_URL=$URL
rows 16 red >"$WORK/rows.jsonl"
rows 8 red >"$WORK/eval.jsonl"
config() { # MEMBERS
    echo "{\"rank\": 4, \"batch_size\": 2, \"max_length\": 32, \"metric\": \"exact_match\"," \
        "\"max_tokens\": 4, $1}" >"$WORK/config.json"
}
file() { call GET "/v1/adapters/task/files/$1"; }

config '"steps": 12, "learning_rate": [1e-8, 0.003], "rslora": [false, true], "halving": 0'
lorafs train task "$WORK/rows.jsonl" -e "$WORK/eval.jsonl" -c "$WORK/config.json" >/dev/null
lorafs wait task 2>/dev/null | grep -c '^task ready v1 exact_match 1.0000'
file versions/1/config.json | grep -c '"learning_rate": 0.003'
[ "$(file versions/1/sweep.csv | grep -c ',done,12,12,')" = 4 ]
file versions/1/sweep.csv | head -n 1 |
    grep -c '^trial,learning_rate,rslora,state,step,steps,eval_loss,loss,tokens,seconds,best'
[ "$(file versions/1/sweep.csv | tr -d '\r' | grep -c ',1$')" = 1 ]
file versions/1/sweep.csv | tr -d '\r' | grep ',1$' | grep -c '^[0-3],0.003,'
[ "$(file versions/1/sweep.svg | grep -c '<g class="run')" = 4 ]
file versions/1/sweep.svg | grep -c 'learning_rate 0.003, rslora [a-z]* (best)'
file sweep.json | grep -c '"by": "eval_loss"'
file loss.svg | grep -c '^<svg'
lorafs log task | grep -c '"event":"done","trial":3,"step":12'
# The same again trains nothing.
put task dataset.jsonl "$WORK/rows.jsonl" '?train=1' | grep -c '"queued":false'

# Killed in the middle: what was done stays done, the others go on from their checkpoints.
config '"steps": 24, "learning_rate": [0.0001, 0.003], "eval_every": 6, "seed": 2, "halving": 0'
put task config.json "$WORK/config.json" >/dev/null
call POST /v1/adapters/task/ctl -d train >/dev/null
under_way() { lorafs log task | grep -q '"event":"checkpoint","step":[89],.*"job":2'; }
wait_until 60 under_way || fail "no checkpoint"
status_line task | grep -c 'sweep of 2: 0 done, 0 ended early, best eval loss'
kill_daemon
serve --checkpoint-seconds 0
export LORAFS_URL=$URL
lorafs wait task 2>/dev/null | grep -c '^task ready v2 '
[ "$(file versions/2/sweep.csv | grep -c ',done,24,24,')" = 2 ]
lorafs log task | grep -c '"event":"started","step":[1-9][0-9]*,"steps":24,"trial":' | grep -cx 2

# Four of six, drawn; all but the best end before a quarter of the steps, and it is one that learns.
config '"steps": 48, "learning_rate": [1e-9, 1e-8, 1e-7, 1e-6, 0.003, 0.001], "trials": 4'
put task config.json "$WORK/config.json" >/dev/null
call POST /v1/adapters/task/ctl -d train >/dev/null
lorafs wait task 2>/dev/null | grep -c '^task ready v3 '
[ "$(file versions/3/sweep.csv | grep -c ',ended early,')" -ge 2 ]
[ "$(file versions/3/sweep.csv | grep -c ',')" = 5 ]

config '"learning_rate": [0.1, 5]'
answers_with 422 PUT /v1/adapters/task/files/config.json --data-binary "@$WORK/config.json"
grep -c learning_rate "$WORK/body"
