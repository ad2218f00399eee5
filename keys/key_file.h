/* The file of keys as text and records. Private to keys.c and key_file.c. */
#ifndef LF_KEY_FILE_H
#define LF_KEY_FILE_H

#include "core/file.h"
#include "keys/keys.h"

#define LF_KEY_ID_HEX 8
#define LF_KEY_SECRET_HEX 64

struct lf_key_record {
    char id[LF_KEY_ID_HEX + 1];
    char name[LF_NAME_MAX + 1];
    char salt[LF_KEY_SECRET_HEX + 1];
    char sha256[LF_SHA256_HEX];
    enum lf_role role;
    char adapters[LF_KEY_GRANTS_MAX][LF_NAME_MAX + 1];
    int n_adapters, requests_a_minute, at_once, waiting;
};

/* One element of the file's "keys". */
enum lf_err lf_key_record_parse(struct lf_key_record *out, const json_t *j,
                                struct lf_diag *diag) LF_MUST_CHECK;
/* The file; {"keys": []} where there is none. Yours. */
enum lf_err lf_key_file_read(json_t **out, const char *path, struct lf_diag *diag) LF_MUST_CHECK;
/* Hex of SHA-256(salt, secret). */
void lf_key_digest(char out[LF_SHA256_HEX], const char *salt, const char *secret, size_t n);
/* "lf_ID_SECRET"; false: it has another form. */
bool lf_key_split(const char *given, size_t n, char id[LF_KEY_ID_HEX + 1], const char **secret,
                  size_t *n_secret);

#endif
