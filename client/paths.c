/* Default paths. */
#include "client/paths.h"

#include "core/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void lf_path_data(char out[LF_PATH_MAX])
{
    const char *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    const char *data = getenv("LORAFS_DATA"); /* the preset of --data (lorafs.conf(5)) */
    if (data && *data)
        snprintf(out, LF_PATH_MAX, "%s", data);
    else if (xdg && xdg[0] == '/')
        snprintf(out, LF_PATH_MAX, "%s/lorafs", xdg);
    else if (home && home[0] == '/')
        snprintf(out, LF_PATH_MAX, "%s/.local/share/lorafs", home);
    else
        snprintf(out, LF_PATH_MAX, "/var/lib/lorafs");
}

void lf_path_socket(char out[LF_PATH_MAX])
{
    char data[LF_PATH_MAX - 16];
    lf_path_data(out);
    snprintf(data, sizeof data, "%s", out);
    snprintf(out, LF_PATH_MAX, "%s/lorafsd.sock", data);
}

enum lf_err lf_path_share(char out[LF_PATH_MAX], const char *rel, struct lf_diag *diag)
{
    static const char *const shares[] = {"../share/lorafs-dist", "../../../share"};
    char program[LF_PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n < 0)
        return lf_fail_errno(diag, errno, "the program's own path");
    program[n] = '\0';
    *strrchr(program, '/') = '\0';
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        int len = snprintf(out, LF_PATH_MAX, "%s/%s/%s", program, shares[i], rel);
        if (len < LF_PATH_MAX && lf_file_exists(out))
            return LF_OK;
    }
    return lf_fail(diag, LF_E_NOT_FOUND, "share/%s is not installed beside %s", rel, program);
}
