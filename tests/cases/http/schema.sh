# What /openapi.json says is what the daemon does: schemathesis finds no difference.
. "$TEST_LIB/http.sh"
need_module schemathesis
phases=examples,coverage,fuzzing examples=15
if [ -n "${SANITIZE:-}" ]; then # coverage takes a quarter of an hour there
    phases=examples,fuzzing examples=2
fi
serve --train-tokens 0 --kv-tokens 64 # short answers
new_adapter task
cd "$WORK" # it writes where it runs
# A deadline of a millisecond is a request that may be made, and passes.
echo 'checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "504"]' >schemathesis.toml
checks=not_a_server_error,status_code_conformance,content_type_conformance
checks=$checks,response_schema_conformance
"${PYTHON:-python3}" -m schemathesis.cli run "$URL/openapi.json" --checks "$checks" \
    --phases "$phases" --max-examples "$examples" --seed 1 --request-timeout 60 \
    >"$WORK/schema.txt" 2>&1 || { tail -n 150 "$WORK/schema.txt" >&2; fail "schemathesis"; }
