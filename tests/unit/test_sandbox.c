/* LIBS: lf_score */
/* Programs that nobody trusts: what they may do, and what they may not. Skipped, and why is said,
 * where this machine can make no sandbox. */
#include "score/humaneval.h"
#include "score/sandbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct lf_sandbox_limits limits = {.seconds = 1, .memory_bytes = 512u << 20};

static const struct {
    const char *program;
    enum lf_sandbox_end end;
} programs[] = {
    {"", LF_SANDBOX_PASSED},
    {"assert sum(range(5)) == 10", LF_SANDBOX_PASSED},
    {"import math, re, itertools, collections, heapq, hashlib, json, typing", LF_SANDBOX_PASSED},
    {"assert 1 == 2", LF_SANDBOX_FAILED},
    {"this is no python", LF_SANDBOX_FAILED},
    {"\xff\xfe\x01", LF_SANDBOX_FAILED},
    /* Leaving early is no success, and answers are not to be had by guessing. */
    {"import sys; sys.exit(0)", LF_SANDBOX_FAILED},
    {"import os; os._exit(0)", LF_SANDBOX_FAILED},
    {"import os\nfor fd in range(64):\n  try: os.write(fd, b'+' * 1000000)\n"
     "  except OSError: pass\nos._exit(0)",
     LF_SANDBOX_FAILED},
    {"input('a number')", LF_SANDBOX_FAILED},
    {"print('x' * 10000000)", LF_SANDBOX_PASSED},
    /* Limits. */
    {"x = bytearray(1 << 30)", LF_SANDBOX_FAILED},
    {"while True: pass", LF_SANDBOX_FAILED},
    {"def f(n): return f(n + 1)\nf(0)", LF_SANDBOX_FAILED},
    /* No process, no thread. */
    {"import os\ntry: os.fork()\nexcept PermissionError: pass\nelse: raise SystemExit(1)",
     LF_SANDBOX_PASSED},
    {"import subprocess; subprocess.run(['/usr/bin/true'])", LF_SANDBOX_FAILED},
    {"import threading\nt = threading.Thread(target=print)\nt.start()", LF_SANDBOX_FAILED},
    {"import os; assert os.getpid() < 5 and os.getuid() == 65534", LF_SANDBOX_PASSED},
    /* No network but a loopback that is down. */
    {"import socket\ns = socket.socket()\ns.settimeout(1)\n"
     "try: s.connect(('1.1.1.1', 53))\nexcept OSError: pass\nelse: raise SystemExit(1)",
     LF_SANDBOX_PASSED},
    /* No files: nothing of this machine's but /usr, and nothing may be written. */
    {"import os; assert not set(os.listdir('/')) & {'etc', 'home', 'root', 'var', 'tmp', 'proc'}",
     LF_SANDBOX_PASSED},
    {"open('/x', 'w')", LF_SANDBOX_FAILED},
    {"open('/usr/x', 'w')", LF_SANDBOX_FAILED},
    {"open('/dev/shm/x', 'w').write('y' * 100)", LF_SANDBOX_FAILED},
    {"import os; assert 'HOME' not in os.environ and 'LF_SOURCE' not in os.environ",
     LF_SANDBOX_PASSED},
};

static void keeps_programs_in_their_box(void **state)
{
    (void)state;
    struct lf_diag diag = {""};
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        enum lf_sandbox_end end;
        const char *p = programs[i].program;
        if (lf_sandbox_run(&end, p, strlen(p), &limits, &diag) != LF_OK)
            fail_msg("%s: %s", p, diag.text);
        if (end != programs[i].end)
            fail_msg("%s: ended as %d, not %d", p, end, programs[i].end);
    }
}

static void a_program_that_sleeps_times_out(void **state)
{
    (void)state;
    enum lf_sandbox_end end;
    const char *p = "import time; time.sleep(1000)";
    assert_int_equal(lf_sandbox_run(&end, p, strlen(p), &limits, NULL), LF_OK);
    assert_int_equal(end, LF_SANDBOX_TIMED_OUT);
}

/* ---- HumanEval ------------------------------------------------------------------------------- */

#define HEAD "def double(x):\n    \"\"\"Twice x.\n    >>> double(2)\n    4\n    \"\"\"\n"

static const struct {
    const char *completion;
    double want;
} answers[] = {
    {"    return 2 * x\n", 1},
    {" return 2 * x", 1}, /* the first line's indentation is lost easily */
    {"return 2 * x", 1},
    {"\n\n    y = x\n    return y + x\n", 1},
    {" if x > 0:\n        return x + x\n    return 2 * x", 1},
    {"def double(x):\n    return x * 2\n", 1},
    {"```python\ndef double(x):\n    return x * 2\n```\nThis doubles x.", 1},
    {"Here it is:\n```\nreturn x + x\n```", 1},
    {" import math\ndef double(x):\n    return x + x", 1},
    {" import math\n    return int(math.fsum([x, x]))", 1},
    {" def twice(y):\n        return y + y\n    return twice(x)", 1},
    {"def double_it(x):\n        return x + x\n    return double_it(x)", 1},
    {"    return x", 0},
    {"", 0}, /* the docstring alone is a body */
    {"```", 0},
    {"\xff\xff", 0},
    {"    return 2 * x\n\nsome words after it", 0},
};

static void takes_completions_as_a_person_would(void **state)
{
    (void)state;
    struct lf_diag diag = {""};
    json_t *row = json_pack("{s:s, s:s, s:s}", "raw_prompt", HEAD, "entry_point", "double", "test",
                            "def check(f):\n    assert f(2) == 4\n    assert f(-1) == -2\n");
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        double got = -1;
        if (lf_humaneval(&got, answers[i].completion, row, &diag) != LF_OK)
            fail_msg("%s: %s", answers[i].completion, diag.text);
        if (got != answers[i].want)
            fail_msg("%s: scores %g, not %g", answers[i].completion, got, answers[i].want);
    }
    json_object_del(row, "test");
    double got;
    assert_int_equal(lf_humaneval(&got, "", row, &diag), LF_E_INVALID);
    assert_non_null(strstr(diag.text, "\"test\""));
    assert_int_equal(lf_humaneval(&got, "", NULL, &diag), LF_E_INVALID);
    json_decref(row);
}

int main(void)
{
    struct lf_diag diag = {""};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_programs_in_their_box),
        cmocka_unit_test(a_program_that_sleeps_times_out),
        cmocka_unit_test(takes_completions_as_a_person_would),
    };
    if (lf_sandbox_ready(&diag) != LF_OK) {
        fprintf(stderr, "skipped: %s\n", diag.text);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
