# OpenAI's own client: files come and go, a training from an upload to the answer of the model that
# its job names, orders, events, pages; all of it is there after a restart.
. "$TEST_LIB/http.sh"
need_module openai
chatty
serve
py openai_tuning.py >"$WORK/made"
read -r job model file <"$WORK/made"
stop_daemon
"$BIN/lorafs" fsck "$DATA"
serve
call GET "/v1/fine_tuning/jobs/$job" >"$WORK/job"
grep -q '"status":"succeeded"' "$WORK/job"
grep -q '"metadata":{"team":"walls"}' "$WORK/job"
grep -q "\"fine_tuned_model\":\"$model\"" "$WORK/job"
call GET "/v1/fine_tuning/jobs/$job/events?limit=1" | grep -q '"has_more":true'
call GET "/v1/files/$file/content" | grep -q 'Item 3 is'
call GET "/v1/models/$model" | grep -q '"parent":"chatty"'
