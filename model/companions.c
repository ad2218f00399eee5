/* What a checkpoint's directory has beside its weights and config.json. */
#include "model/companions.h"

#include "core/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Files that belong to a checkpoint beside its weights and config.json. */
static bool companion(const char *name)
{
    static const char *const names[] = {"generation_config.json",
                                        "tokenizer.json",
                                        "tokenizer_config.json",
                                        "tokenizer.model",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "vocab.json",
                                        "merges.txt",
                                        "vocab.txt",
                                        "chat_template.jinja",
                                        "chat_template.json",
                                        "LICENSE",
                                        "LICENSE.txt",
                                        "NOTICE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

enum lf_err lf_companions_copy(const char *src_dir, const char *dst_dir, struct lf_diag *diag)
{
    DIR *d = opendir(src_dir);
    if (!d)
        return lf_fail_errno(diag, errno, "%s", src_dir);
    enum lf_err rc = LF_OK;
    for (struct dirent *e; rc == LF_OK && (e = readdir(d));) {
        char path[LF_PATH_MAX + 256];
        lf_mapping_auto m = {0};
        if (!companion(e->d_name))
            continue;
        snprintf(path, sizeof path, "%s/%s", src_dir, e->d_name);
        rc = lf_file_map(&m, path, diag);
        snprintf(path, sizeof path, "%s/%s", dst_dir, e->d_name);
        rc = rc ?: lf_file_write(path, m.data, m.bytes, diag);
    }
    closedir(d);
    return rc;
}
