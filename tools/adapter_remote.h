/* What the commands for a daemon's adapters share. One thread. */
#ifndef LF_TOOLS_ADAPTER_REMOTE_H
#define LF_TOOLS_ADAPTER_REMOTE_H

#include "client/remote.h"
#include "tools/options.h"

/* What a command does for one of its arguments; NULL where it has none. */
typedef enum lf_err (*lf_remote_fn)(void *arg, struct lf_remote *c, const char *name,
                                    struct lf_diag *diag);
/* Does it for each of the first n arguments, or once where n is 0, as a client of the daemon at o.
 * Failures are printed. The exit status: 1 where one failed. */
int lf_remote_each(const struct lf_usage *u, const struct lf_remote_options *o,
                   const struct lf_args *args, int n, lf_remote_fn fn, void *arg);

/* Zero-initialised: no settings of its own. */
struct lf_settings_flags {
    const char *file;          /* a config.json */
    struct lf_option_strs set; /* "KEY=VALUE", over the file */
};

/* Rows for a command's option table; s is its struct lf_settings_flags. */
#define LF_SETTINGS_OPTIONS(s)                                                            \
    {"config", 'c', LF_OPT_STR, "FILE", &(s).file, "settings: a config.json"},            \
    {                                                                                     \
        "set", 's', LF_OPT_STRS, "KEY=VALUE", &(s).set, "one setting; may be given again" \
    }

/* The settings as an object: *out is yours (json_decref), NULL where none are given. */
enum lf_err lf_settings_of(json_t **out, const struct lf_settings_flags *s,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* Makes an adapter; settings NULL: the daemon's defaults. LF_E_EXISTS. */
enum lf_err lf_remote_create(struct lf_remote *c, const char *name, json_t *settings,
                             struct lf_diag *diag) LF_MUST_CHECK;
/* The answer to a GET as a local file, which is there whole or not at all. */
enum lf_err lf_remote_download(struct lf_remote *c, const char *path, const char *file,
                               struct lf_diag *diag) LF_MUST_CHECK;
/* The version that serves; LF_E_NOT_FOUND where none does. */
enum lf_err lf_remote_served(struct lf_remote *c, const char *name, int64_t *version,
                             struct lf_diag *diag) LF_MUST_CHECK;
/* The two files of a version (0: of the one that is served) as PEFT has them, into DIR; the weights
 * come last. */
enum lf_err lf_remote_peft(struct lf_remote *c, const char *name, int64_t version, const char *dir,
                           struct lf_diag *diag) LF_MUST_CHECK;
/* Has a daemon train: the adapter is made where it is not there, and gets the settings where some
 * are given, the rows of `eval` (NULL: as they are) and then those of `dataset`. *queued: false
 * where the served version was made of the very same. */
enum lf_err lf_remote_train(struct lf_remote *c, const char *name, json_t *settings,
                            const char *dataset, const char *eval, bool *queued,
                            struct lf_diag *diag) LF_MUST_CHECK;

#endif
