# cp onto dataset.jsonl trains: the whole way from a file to an adapter that another tool can load.
. "$TEST_LIB/common.sh"
start_daemon
start_mount

make_adapter news
wait_status news '^empty'
rows 6 red >"$WORK/train.jsonl"
cp "$WORK/train.jsonl" "$MODEL/news/dataset.jsonl"
wait_status news '^ready v1$'

cmp "$WORK/train.jsonl" "$MODEL/news/dataset.jsonl"
[ "$(versions_of news)" = 1 ]
[ "$(readlink "$MODEL/news/versions/current")" = 1 ]
check json_file "$MODEL/news/adapter/adapter_config.json"
check json_file "$MODEL/news/metrics.json"
check json_lines "$MODEL/news/log" 2
cmp "$MODEL/news/adapter/adapter_model.safetensors" \
    "$MODEL/news/versions/1/adapter_model.safetensors"
cp "$MODEL/news/adapter/adapter_model.safetensors" "$WORK/weights"
check mapped "$MODEL/news/adapter/adapter_model.safetensors" "$WORK/weights"
[ "$(stat -c %s "$MODEL/news/log")" = "$(wc -c <"$MODEL/news/log")" ]
[ "$(stat -c %s "$MODEL/news/metrics.json")" = "$(wc -c <"$MODEL/news/metrics.json")" ]
