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

static void ends(const char *program, const char *judge, enum lf_sandbox_end want)
{
    struct lf_diag diag = {""};
    enum lf_sandbox_end end;
    struct lf_sandbox_job job = {program, strlen(program), judge, strlen(judge)};
    if (lf_sandbox_run(&end, &job, &limits, &diag) != LF_OK)
        fail_msg("%s: %s", program, diag.text);
    if (end != want)
        fail_msg("%s: ended as %d, not %d", program, end, want);
}

static void keeps_programs_in_their_box(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        ends(programs[i].program, "", programs[i].end);
}

static void a_program_that_sleeps_times_out(void **state)
{
    (void)state;
    ends("import time; time.sleep(1000)", "", LF_SANDBOX_TIMED_OUT);
}

/* ---- The judge ------------------------------------------------------------------------------- */

/* Programs that want to pass without being right: f(2) is to be 4. */
static const char *const cheats[] = {
    "def f(x): return 5",
    "f = None",
    "class Anything:\n  def __eq__(self, other): return True\ndef f(x): return Anything()",
    "class Anything(int):\n  def __eq__(self, other): return True\ndef f(x): return Anything(5)",
    /* All that is in its process, down to its caller's frames, told to every descriptor. */
    "import gc, os, sys\n"
    "found, frame = [b'.', b'+'], sys._getframe()\n"
    "while frame:\n"
    "  found += [*frame.f_locals.values(), *frame.f_globals.values()]\n"
    "  frame = frame.f_back\n"
    "found += gc.get_objects()\n"
    "for x in found:\n"
    "  x = x.encode() if isinstance(x, str) else x\n"
    "  for fd in range(64) if isinstance(x, bytes) else ():\n"
    "    try: os.write(fd, x)\n"
    "    except OSError: pass\n"
    "os._exit(0)",
    /* Answers before it is asked, answers that are none, and none at all. */
    "import os\nos.write(4, b'[\"ready\"]\\n[\"result\", 5]\\n')\nos._exit(0)",
    "import os\nos.write(4, b'[\"ready\"]\\n.\\n')\nos._exit(0)",
    "import os\ndef f(x): os.write(4, b'[' * 100000 + b'\\n'); os._exit(0)",
    "import os\ndef f(x): os.write(4, b'[\"raised\", \"SystemExit\", \"\"]\\n'); os._exit(0)",
    "import os\ndef f(x): os._exit(0)",
    "import os\nos.close(4)\ndef f(x): return 4",
    "import sys\ndef f(x): sys.exit(0)",
    "import builtins\nbuiltins.AssertionError = builtins.SystemExit\ndef f(x): return 5",
};

static void a_program_that_cheats_does_not_pass(void **state)
{
    (void)state;
    const char *judge = "assert program('f')(2) == 4";
    ends("def f(x): return x + x", judge, LF_SANDBOX_PASSED);
    for (size_t i = 0; i < sizeof cheats / sizeof *cheats; i++)
        ends(cheats[i], judge, LF_SANDBOX_FAILED);
}

static void arguments_and_results_go_over_as_data(void **state)
{
    (void)state;
    ends("def f(*args, **named): return [args, named]",
         "v = (None, True, -3, 10 ** 50, 0.1, float('inf'), 1 + 2j, 'a\\n\\ud800', b'\\xff\\x00',\n"
         "     [1, [2.0]], (), {1, 2}, frozenset([3]), {'a': 1, (1, 2): {}})\n"
         "got = program('f')(*v, word=[1])\n"
         "assert repr(got) == repr([v, {'word': [1]}]), got\n",
         LF_SANDBOX_PASSED);
    ends("def f(x): return 1 / x",
         "try: program('f')(0)\n"
         "except ZeroDivisionError as e: assert str(e) == 'division by zero'\n"
         "else: raise SystemExit(1)\n",
         LF_SANDBOX_PASSED);
    ends("def f(x): return print", "program('f')(0)", LF_SANDBOX_FAILED);
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
        cmocka_unit_test(a_program_that_cheats_does_not_pass),
        cmocka_unit_test(arguments_and_results_go_over_as_data),
        cmocka_unit_test(takes_completions_as_a_person_would),
    };
    if (lf_sandbox_ready(&diag) != LF_OK) {
        fprintf(stderr, "skipped: %s\n", diag.text);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
