/* Token ids from a JSON file. */
#include "tools/ids.h"

#include "core/json.h"

#include <stdlib.h>

void lf_id_lists_free(struct lf_id_lists *l)
{
    for (size_t i = 0; i < l->n; i++)
        lf_ids_free(&l->lists[i]);
    free(l->lists);
    *l = (struct lf_id_lists){0};
}

static enum lf_err read_list(struct lf_ids *out, const json_t *list, int vocab,
                             struct lf_diag *diag)
{
    if (!json_is_array(list) || json_array_size(list) == 0)
        return lf_fail(diag, LF_E_INVALID, "must be a list of one or more token ids");
    size_t i;
    json_t *v;
    enum lf_err rc = LF_OK;
    json_array_foreach(list, i, v) {
        json_int_t id = json_integer_value(v);
        if (!json_is_integer(v) || id < 0 || id >= vocab)
            return lf_fail(diag, LF_E_INVALID, "element %zu must be an id in 0..%d", i, vocab - 1);
        if ((rc = lf_ids_push(out, (int32_t)id)) != LF_OK)
            return lf_fail(diag, rc, "out of memory");
    }
    return rc;
}

static enum lf_err read_lists(struct lf_id_lists *l, const json_t *root, int vocab,
                              struct lf_diag *diag)
{
    bool nested = json_is_array(json_array_get(root, 0));
    size_t n = nested ? json_array_size(root) : 1;
    l->lists = calloc(n, sizeof *l->lists);
    if (!l->lists)
        return lf_fail(diag, LF_E_NO_MEMORY, "out of memory");
    for (l->n = 0; l->n < n; l->n++) {
        struct lf_ids *ids = &l->lists[l->n];
        enum lf_err rc = read_list(ids, nested ? json_array_get(root, l->n) : root, vocab, diag);
        if (rc != LF_OK) {
            lf_ids_free(ids);
            return nested ? lf_fail_within(diag, rc, "list %zu", l->n) : rc;
        }
        l->n_max = ids->n > l->n_max ? ids->n : l->n_max;
    }
    return LF_OK;
}

enum lf_err lf_id_lists_load(struct lf_id_lists *out, const char *path, int vocab,
                             struct lf_diag *diag)
{
    struct lf_id_lists l = {0};
    json_t *root = NULL;
    enum lf_err rc = lf_json_load(&root, path, diag);
    if (rc != LF_OK)
        return rc;
    rc = read_lists(&l, root, vocab, diag);
    json_decref(root);
    if (rc != LF_OK) {
        lf_id_lists_free(&l);
        return lf_fail_within(diag, rc, "%s", path);
    }
    *out = l;
    return LF_OK;
}
