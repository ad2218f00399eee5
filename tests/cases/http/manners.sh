# HTTP's manners: packed bodies, absolute targets, clients that close their sending half.
. "$TEST_LIB/http.sh"
serve
new_adapter task
py manners.py
wait_until 10 is_idle
