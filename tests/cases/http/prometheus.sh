# A real Prometheus: promtool has no objection to the metrics, the rules and the configuration, and
# every expression of the board and of the alerts finds its numbers. What schedulers read by vLLM's
# names says which adapters are asked.
. "$TEST_LIB/http.sh"
need promtool prometheus
serve --train-tokens 512

# Metrics of one adapter that trained and answered, of one that fails, of one that is gone.
train good red 2
await good '^ready v1$'
for model in good good base; do
    answers_with 200 POST /v1/completions -d "{\"model\": \"$model\", \"prompt\": \"The\",
        \"max_tokens\": 5, \"ignore_eos\": true}"
done
curl -sS -N "$URL/v1/completions" -d '{"model": "good", "prompt": "The old man", "max_tokens": 1500,
    "ignore_eos": true, "stream": true}' >/dev/null &
client=$!
wait_until 20 metric_is requests_live 1 || fail "nothing runs"
curl -sf "$URL/metrics" >"$WORK/metrics"
end_process "$client"
promtool check metrics <"$WORK/metrics" >"$WORK/promtool" 2>&1 || true
refuses grep -v "^vllm:.* should not contain ':'" "$WORK/promtool" # the name is vLLM's
has() {
    grep -Eq "$1" "$WORK/metrics" || fail "no $1 in $(grep -E 'adapter|vllm|jobs' "$WORK/metrics")"
}
has '^lorafs_adapter_requests_total\{adapter="good",outcome="ended"\} 2$'
has '^lorafs_adapter_requests_total\{adapter="",outcome="ended"\} 1$'
has '^lorafs_adapter_completion_tokens_total\{adapter="good"\} 10$'
has '^lorafs_adapter_first_token_seconds_count\{adapter="good"\} [23]$'
has '^lorafs_adapter_requests_running\{adapter="good"\} 1$'
has '^lorafs_jobs_total\{outcome="done"\} 1$'
has '^lorafs_build_info\{version=".+"\} 1$'
has '^vllm:num_requests_running\{model_name="base"\} 1$'
asked='running_lora_adapters="good",waiting_lora_adapters=""'
has "^vllm:lora_requests_info\{max_lora=\"[0-9]+\",$asked\} [0-9.]+\$"
# What Kubernetes' inference gateway asks of a model server, by the names of its protocol for vLLM.
for name in num_requests_waiting num_requests_running kv_cache_usage_perc; do
    has "^# TYPE vllm:$name gauge\$"
    has "^vllm:$name\{model_name=\"base\"\} [0-9.]+\$"
done
has '^vllm:cache_config_info\{block_size="[1-9][0-9]*",num_gpu_blocks="[1-9][0-9]*"\} 1$'
has '^process_resident_memory_bytes [0-9]{7,}$'

# A removed one is not spoken of any more.
curl -sf -X DELETE "$URL/v1/adapters/good" >/dev/null
curl -sf "$URL/metrics" >"$WORK/metrics"
refuses grep '"good"' "$WORK/metrics"

# Prometheus scrapes it.
share=$LF_SOURCE/share/monitoring
promtool check config "$share/prometheus.yml" >"$WORK/promtool" || fail "$(cat "$WORK/promtool")"
cp "$share/alerts.yml" "$WORK"
sed "s/localhost:8080/$ADDRESS/; s/15s/1s/" "$share/prometheus.yml" >"$WORK/prometheus.yml"
port=$("${PYTHON:-python3}" -c 'import socket
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1])')
prometheus --config.file "$WORK/prometheus.yml" --storage.tsdb.path "$WORK/tsdb" \
    --web.listen-address "127.0.0.1:$port" 2>"$WORK/prometheus.log" &
check prometheus "http://127.0.0.1:$port" "$share/grafana.json" "$share/alerts.yml"
