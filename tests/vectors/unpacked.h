/* Where the real tokenizers and chat templates lie: $LF_TOKENIZERS, or the archive of
 * $LF_SHARED/tokenizers unpacked once under the working directory (a build directory). */
#ifndef LF_TESTS_VECTORS_UNPACKED_H
#define LF_TESTS_VECTORS_UNPACKED_H

#include "core/file.h"
#include "core/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int run_tar(const char *archive, const char *dir)
{
    pid_t pid = fork();
    if (pid == 0) {
        execlp("tar", "tar", "xf", archive, "-C", dir, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

/* NULL: neither is there. */
static const char *unpacked_tokenizers(void)
{
    static const char dir[] = "tokenizers";
    char archive[LF_PATH_MAX], fresh[64];
    const char *given = getenv("LF_TOKENIZERS"), *shared = getenv("LF_SHARED");
    if (given && lf_file_exists(given))
        return given;
    if (lf_file_exists(dir))
        return dir;
    snprintf(archive, sizeof archive, "%s/tokenizers/tokenizers.tar.xz",
             shared ? shared : "../shared");
    snprintf(fresh, sizeof fresh, "%s-%d", dir, (int)getpid());
    if (!lf_file_exists(archive) || lf_dir_make(fresh, NULL) != LF_OK)
        return NULL;
    /* Two tests may unpack at once: whoever renames first wins. */
    if (run_tar(archive, fresh) != 0 || rename(fresh, dir) != 0)
        (void)!lf_dir_remove(fresh, NULL);
    return lf_file_exists(dir) ? dir : NULL;
}

#endif
