/* lorafsd: the daemon by itself. `lorafs serve` starts the same beside a mount. */
#include "tools/serving.h"
#include "tools/streams.h"
#include "tools/version.h"

#include <stdio.h>
#include <string.h>

static int run(int argc, char **argv)
{
    struct lf_serving s;
    lf_serving_init(&s);
    const struct lf_option options[] = {LF_SERVING_OPTIONS(s), {0}};
    const struct lf_usage usage = {
        "lorafsd", "--base BASE [options]",
        "Serves one base model and all its LoRA adapters over HTTP, and trains new ones. Runs in "
        "the foreground and logs on stderr; SIGTERM and SIGINT stop it once the answers under way "
        "have ended. Mount its tree with `lorafs mount`.",
        options, .examples = "  lorafsd --base share/base --data data --listen 127.0.0.1:8080"};
    struct lf_args args;
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("lorafsd %s\n", lf_version);
        return 0;
    }
    if (!lf_options_parse(&args, &usage, argc, argv))
        return args.status;
    struct lf_diag diag = {""};
    enum lf_err rc = lf_serving_base(&s, &diag) ?: lf_serving_run(&s, 0, &diag);
    return rc == LF_OK ? 0 : lf_command_failed(&usage, rc, &diag);
}

int main(int argc, char **argv)
{
    lf_streams_open();
    return lf_streams_close("lorafsd", run(argc, argv));
}
