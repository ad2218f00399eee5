/* Keys as they lie on the disk. */
#include "keys/key_file.h"

#include "core/json.h"

#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <fcntl.h>

#define PREFIX "lf_"

static const char *const roles[] = {LF_ROLE_WORDS, NULL};

const char *lf_role_name(enum lf_role role)
{
    return roles[role];
}

enum lf_err lf_keys_path(char out[LF_PATH_MAX], const char *data_dir, struct lf_diag *diag)
{
    return lf_path_join(out, data_dir, "keys.json", diag);
}

/* ---- Secrets --------------------------------------------------------------------------------- */

static enum lf_err draw(char *hex, size_t n, struct lf_diag *diag)
{
    unsigned char bytes[LF_KEY_SECRET_HEX / 2];
    if (getrandom(bytes, n / 2, 0) != (ssize_t)(n / 2))
        return lf_fail_errno(diag, errno, "no random numbers");
    for (size_t i = 0; i < n / 2; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    return LF_OK;
}

void lf_key_digest(char out[LF_SHA256_HEX], const char *salt, const char *secret, size_t n)
{
    char both[2 * LF_KEY_SECRET_HEX];
    size_t n_salt = strlen(salt);
    lf_assert(n_salt + n <= sizeof both);
    memcpy(both, salt, n_salt);
    memcpy(both + n_salt, secret, n);
    lf_sha256_hex(out, both, n_salt + n);
}

bool lf_key_split(const char *given, size_t n, char id[LF_KEY_ID_HEX + 1], const char **secret,
                  size_t *n_secret)
{
    const size_t head = strlen(PREFIX) + LF_KEY_ID_HEX + 1;
    if (n != head + LF_KEY_SECRET_HEX || memcmp(given, PREFIX, strlen(PREFIX)) != 0 ||
        given[head - 1] != '_')
        return false;
    memcpy(id, given + strlen(PREFIX), LF_KEY_ID_HEX);
    id[LF_KEY_ID_HEX] = '\0';
    *secret = given + head;
    *n_secret = LF_KEY_SECRET_HEX;
    return true;
}

/* ---- Records --------------------------------------------------------------------------------- */

static enum lf_err take_hex(char *out, size_t n, const char *text, const char *what,
                            struct lf_diag *diag)
{
    if (!text || strlen(text) != n || text[strspn(text, "0123456789abcdef")])
        return lf_fail(diag, LF_E_DAMAGED, "\"%s\" must be %zu hexadecimal digits", what, n);
    memcpy(out, text, n + 1);
    return LF_OK;
}

/* A name, or a pattern of them. */
static bool grant_ok(const char *s)
{
    return s && *s && strlen(s) <= LF_NAME_MAX &&
           !s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-*?")];
}

static enum lf_err take_grants(struct lf_key_record *r, const json_t *list, struct lf_diag *diag)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *s = json_string_value(json_array_get(list, i));
        if (!grant_ok(s))
            return lf_fail(diag, LF_E_DAMAGED, "\"adapters\" has no name or pattern at %zu", i + 1);
        memcpy(r->adapters[r->n_adapters++], s, strlen(s) + 1);
    }
    return LF_OK;
}

enum lf_err lf_key_record_parse(struct lf_key_record *out, const json_t *j, struct lf_diag *diag)
{
    static const char *const known[] = {"id",     "name", "role",    "adapters",          "salt",
                                        "sha256", "made", "at_once", "requests_a_minute", "waiting",
                                        NULL};
    struct lf_key_record r = {.n_adapters = 0};
    struct lf_json_in in = {.obj = j, .diag = diag, .rc = lf_json_only(j, known, diag)};
    const char *id = lf_json_need_str(&in, "id"), *salt = lf_json_need_str(&in, "salt");
    const char *sha256 = lf_json_need_str(&in, "sha256"), *name = lf_json_need_str(&in, "name");
    r.role = (enum lf_role)lf_json_word(&in, "role", LF_ROLE_OPEN, roles);
    r.requests_a_minute = lf_json_int(&in, "requests_a_minute", 0, 0, LF_KEY_RATE_MAX);
    r.at_once = lf_json_int(&in, "at_once", 0, 0, LF_KEY_RATE_MAX);
    r.waiting = lf_json_int(&in, "waiting", 0, 0, LF_QUEUE_MAX);
    const json_t *grants = lf_json_list(&in, "adapters", 0, LF_KEY_GRANTS_MAX);
    enum lf_err rc = in.rc;
    if (rc == LF_OK && !lf_name_ok(name))
        rc = lf_fail(diag, LF_E_INVALID,
                     "\"%.80s\" cannot be a key's name: 1 to %d of [A-Za-z0-9._-], not starting "
                     "with '.'",
                     name, LF_NAME_MAX);
    if (rc == LF_OK && r.role == LF_ROLE_OPEN)
        rc = lf_fail(diag, LF_E_DAMAGED, "\"role\" is none");
    rc = rc ?: take_hex(r.id, LF_KEY_ID_HEX, id, "id", diag);
    rc = rc ?: take_hex(r.salt, LF_KEY_SECRET_HEX, salt, "salt", diag);
    rc = rc ?: take_hex(r.sha256, LF_SHA256_HEX - 1, sha256, "sha256", diag);
    rc = rc ?: take_grants(&r, grants, diag);
    if (rc != LF_OK)
        return rc;
    memcpy(r.name, name, strlen(name) + 1);
    *out = r;
    return LF_OK;
}

/* ---- The file -------------------------------------------------------------------------------- */

enum lf_err lf_key_file_read(json_t **out, const char *path, struct lf_diag *diag)
{
    json_t *j = NULL;
    if (!lf_file_exists(path)) {
        *out = json_pack("{s:[]}", "keys");
        return *out ? LF_OK : lf_no_memory(diag, "keys");
    }
    enum lf_err rc = lf_json_load(&j, path, diag);
    const json_t *list = json_object_get(j, "keys");
    if (rc == LF_OK && (!json_is_array(list) || json_array_size(list) > LF_KEYS_MAX))
        rc = lf_fail(diag, LF_E_DAMAGED, "%s: \"keys\" must be a list of at most %d", path,
                     LF_KEYS_MAX);
    for (size_t i = 0; i < json_array_size(list) && rc == LF_OK; i++) {
        struct lf_key_record r;
        rc = lf_key_record_parse(&r, json_array_get(list, i), diag);
        if (rc != LF_OK)
            rc = lf_fail_within(diag, LF_E_DAMAGED, "%s: key %zu", path, i + 1);
    }
    if (rc == LF_OK)
        *out = j;
    else
        json_decref(j);
    return rc;
}

/* One that changes the file at a time; the descriptor holds the lock. */
static enum lf_err lock_file(int *fd, const char *path, struct lf_diag *diag)
{
    char lock[LF_PATH_MAX];
    if (snprintf(lock, sizeof lock, "%s.lock", path) >= (int)sizeof lock)
        return lf_fail(diag, LF_E_INVALID, "%s: path too long", path);
    *fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*fd < 0 || flock(*fd, LOCK_EX) != 0) {
        enum lf_err rc = lf_fail_errno(diag, errno, "%s", lock);
        if (*fd >= 0)
            close(*fd);
        return rc;
    }
    return LF_OK;
}

static enum lf_err write_file(const char *path, json_t *j, struct lf_diag *diag)
{
    mode_t mask = umask(077); /* of a command, which has one thread */
    enum lf_err rc = lf_json_write(path, json_incref(j), JSON_INDENT(1), diag);
    umask(mask);
    return rc;
}

static enum lf_err make(json_t **record, char key[LF_KEY_TEXT_MAX + 1], const struct lf_key_spec *s,
                        struct lf_diag *diag)
{
    char id[LF_KEY_ID_HEX + 1], secret[LF_KEY_SECRET_HEX + 1], salt[LF_KEY_SECRET_HEX + 1];
    char digest[LF_SHA256_HEX];
    struct lf_key_record check;
    enum lf_err rc = draw(id, LF_KEY_ID_HEX, diag) ?: draw(secret, LF_KEY_SECRET_HEX, diag);
    rc = rc ?: draw(salt, LF_KEY_SECRET_HEX, diag);
    if (rc != LF_OK)
        return rc;
    lf_key_digest(digest, salt, secret, LF_KEY_SECRET_HEX);
    json_t *adapters = json_array();
    for (int i = 0; i < s->n_adapters; i++)
        json_array_append_new(adapters, json_string(s->adapters[i]));
    json_t *j = lf_json_dated(json_pack(
        "{s:s, s:s, s:s, s:o, s:i, s:i, s:i, s:s, s:s}", "id", id, "name", s->name, "role",
        lf_role_name(s->role), "adapters", adapters, "requests_a_minute", s->requests_a_minute,
        "at_once", s->at_once, "waiting", s->waiting, "salt", salt, "sha256", digest));
    if (!j)
        return lf_no_memory(diag, "a key");
    json_object_set(j, "made", json_object_get(j, "time"));
    json_object_del(j, "time");
    rc = lf_key_record_parse(&check, j, diag);
    if (rc == LF_OK)
        *record = j;
    else
        json_decref(j);
    snprintf(key, LF_KEY_TEXT_MAX + 1, PREFIX "%s_%s", id, secret);
    return rc == LF_E_DAMAGED ? LF_E_INVALID : rc;
}

/* The place of the key in the list; the list's length: it is not there. */
static size_t place_of(const json_t *list, const char *id_or_name)
{
    size_t i = 0;
    while (i < json_array_size(list)) {
        const json_t *k = json_array_get(list, i);
        if (strcmp(lf_json_text_of(k, "id"), id_or_name) == 0 ||
            strcmp(lf_json_text_of(k, "name"), id_or_name) == 0)
            break;
        i++;
    }
    return i;
}

/* The file, and its lock, which the caller closes. */
static enum lf_err open_locked(json_t **file, int *lock, const char *path, struct lf_diag *diag)
{
    enum lf_err rc = lock_file(lock, path, diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_key_file_read(file, path, diag);
    if (rc != LF_OK)
        close(*lock);
    return rc;
}

enum lf_err lf_keys_add(const char *path, const struct lf_key_spec *spec,
                        char key[LF_KEY_TEXT_MAX + 1], struct lf_diag *diag)
{
    int lock;
    json_auto_t *file = NULL;
    json_t *record = NULL;
    enum lf_err rc = open_locked(&file, &lock, path, diag);
    if (rc != LF_OK)
        return rc;
    json_t *list = json_object_get(file, "keys");
    if (place_of(list, spec->name) < json_array_size(list))
        rc = lf_fail(diag, LF_E_EXISTS, "there is a key called \"%.64s\"", spec->name);
    if (rc == LF_OK && json_array_size(list) >= LF_KEYS_MAX)
        rc = lf_fail(diag, LF_E_TOO_BIG, "there are %d keys", LF_KEYS_MAX);
    rc = rc ?: make(&record, key, spec, diag);
    if (rc == LF_OK && json_array_append_new(list, record) != 0)
        rc = lf_no_memory(diag, "a key");
    rc = rc ?: write_file(path, file, diag);
    close(lock);
    return rc;
}

enum lf_err lf_keys_revoke(const char *path, const char *id_or_name, struct lf_diag *diag)
{
    int lock;
    json_auto_t *file = NULL;
    enum lf_err rc = open_locked(&file, &lock, path, diag);
    if (rc != LF_OK)
        return rc;
    json_t *list = json_object_get(file, "keys");
    if (json_array_remove(list, place_of(list, id_or_name)) != 0)
        rc = lf_fail(diag, LF_E_NOT_FOUND, "there is no key \"%.64s\"", id_or_name);
    rc = rc ?: write_file(path, file, diag);
    close(lock);
    return rc;
}

enum lf_err lf_keys_list(const char *path, json_t **out, struct lf_diag *diag)
{
    json_auto_t *file = NULL;
    enum lf_err rc = lf_key_file_read(&file, path, diag);
    if (rc != LF_OK)
        return rc;
    json_t *list = json_object_get(file, "keys");
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_object_del(json_array_get(list, i), "salt");
        json_object_del(json_array_get(list, i), "sha256");
    }
    *out = json_incref(list);
    return LF_OK;
}
