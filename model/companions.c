/* What a checkpoint's directory has beside its weights and config.json. */
#include "model/companions.h"

#include "core/file.h"

/* Files that belong to a checkpoint beside its weights and config.json. */
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

enum lf_err lf_companions_copy(const char *src_dir, const char *dst_dir, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names && rc == LF_OK; i++) {
        char path[LF_PATH_MAX];
        lf_mapping_auto m = {0};
        rc = lf_path_join(path, src_dir, names[i], diag);
        if (rc != LF_OK || !lf_file_exists(path))
            continue;
        rc = lf_file_map(&m, path, diag) ?: lf_path_join(path, dst_dir, names[i], diag);
        rc = rc ?: lf_file_write(path, m.data, m.bytes, diag);
    }
    return rc;
}
