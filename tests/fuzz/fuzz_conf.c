/* LIBS: lf_tools */
/* Any bytes as lorafs.conf: a refusal that names the file and the line, or presets, which are
 * variables of the environment with names of theirs. */
#include "tests/fuzz/work.h"
#include "tools/conf.h"

#include <stdint.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The environment as it was: presets go. Each was put there by this run. */
static void forget_presets(void)
{
    for (char **e = environ; *e;) {
        char name[256];
        const char *equals = strchr(*e, '=');
        if (strncmp(*e, "LORAFS_", 7) != 0 || !equals) {
            e++;
            continue;
        }
        size_t len = (size_t)(equals - *e);
        lf_assert(len < sizeof name && strlen(equals + 1) < LF_PATH_MAX);
        lf_assert(strspn(*e, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == len);
        memcpy(name, *e, len);
        name[len] = '\0';
        lf_assert(unsetenv(name) == 0); /* the rest moves up */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static char dir[96], path[128];
    int64_t steps = 1;
    const struct lf_option options[] = {
        {"steps", 0, LF_OPT_INT, "N", &steps, "steps", .lo = 1, .hi = 1e9},
        {0},
    };
    const struct lf_usage usage = {"lorafs train", "", "Trains.", options, 0, 0};
    struct lf_diag diag = {""};
    char from[LF_CONF_NAME_MAX];
    if (!*dir) {
        snprintf(dir, sizeof dir, "%s/lorafs", work());
        snprintf(path, sizeof path, "%s/lorafs.conf", dir);
        lf_assert(lf_dir_make(dir, NULL) == LF_OK && setenv("XDG_CONFIG_HOME", work(), 1) == 0);
    }
    forget_presets();
    FILE *f = fopen(path, "w");
    lf_assert(f && fwrite(data, 1, n, f) == n && fclose(f) == 0);
    enum lf_err rc = lf_conf_load(&usage, &diag);
    lf_assert(rc == LF_OK || strncmp(diag.text, path, strlen(path)) == 0);
    const char *preset = lf_conf_preset(from, &usage, options);
    lf_assert(!preset || strlen(preset) < LF_PATH_MAX);
    forget_presets();
    return 0;
}
