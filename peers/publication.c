/* Publications: their text, and which of two counts. */
#include "peers/publication.h"

#include "core/json.h"
#include "peers/limits.h"

#include <stdio.h>
#include <string.h>

void lf_published_free(struct lf_published *p)
{
    json_decref(p->settings);
    p->settings = NULL;
}

bool lf_is_sha256(const char *text)
{
    return strlen(text) == LF_SHA256_HEX - 1 &&
           strspn(text, "0123456789abcdef") == LF_SHA256_HEX - 1;
}

/* A digest, or "". */
static void take_digest(char out[LF_SHA256_HEX], struct lf_json_in *in, const char *key)
{
    const char *text = lf_json_need_str(in, key);
    if (in->rc == LF_OK && text[0] && !lf_is_sha256(text))
        in->rc = lf_fail(in->diag, LF_E_INVALID, "\"%s\" is no digest", key);
    snprintf(out, LF_SHA256_HEX, "%s", in->rc == LF_OK ? text : "");
}

enum lf_err lf_published_take(struct lf_published *out, const char *name, const json_t *j,
                              struct lf_diag *diag)
{
    struct lf_published p = {.version = 0};
    if (!lf_name_ok(name) || !json_is_object(j))
        return lf_fail(diag, LF_E_INVALID, "\"%.80s\" is no publication", name);
    struct lf_json_in in = lf_json_in(j, diag);
    snprintf(p.name, sizeof p.name, "%s", name);
    p.version = lf_json_int(&in, "version", 0, 0, INT32_MAX);
    p.stamp_ms = lf_json_int64(&in, "stamp_ms", 0, 1, INT64_MAX / 2);
    take_digest(p.sha256, &in, "sha256");
    take_digest(p.base_sha256, &in, "base_sha256");
    const json_t *settings = lf_json_object(&in, "settings");
    if (in.rc == LF_OK && (p.version == 0) != (p.sha256[0] == '\0'))
        return lf_fail(diag, LF_E_INVALID, "%s: a version without a digest, or the reverse", name);
    if (in.rc == LF_OK && p.stamp_ms == 0)
        return lf_fail(diag, LF_E_INVALID, "%s: there is no \"stamp_ms\"", name);
    if (in.rc != LF_OK)
        return lf_fail_within(diag, in.rc, "%s", name);
    p.settings = settings ? lf_json_copy(settings) : NULL;
    if (settings && !p.settings)
        return lf_no_memory(diag, "a publication");
    *out = p;
    return LF_OK;
}

enum lf_err lf_published_parse(struct lf_published *out, const char *name, const char *text,
                               size_t n, struct lf_diag *diag)
{
    json_auto_t *j = NULL;
    return lf_json_parse(&j, text, n, diag) ?: lf_published_take(out, name, j, diag);
}

json_t *lf_published_json(const struct lf_published *p)
{
    return json_pack("{s:i, s:s, s:s, s:I, s:O*}", "version", (int)p->version, "sha256", p->sha256,
                     "base_sha256", p->base_sha256, "stamp_ms", (json_int_t)p->stamp_ms, "settings",
                     p->settings);
}

bool lf_published_is_newer(const struct lf_published *a, const struct lf_published *b)
{
    return a->stamp_ms != b->stamp_ms ? a->stamp_ms > b->stamp_ms
                                      : strcmp(a->sha256, b->sha256) > 0;
}

/* ---- What a daemon does about a name --------------------------------------------------------- */

enum lf_sharing_act lf_sharing_act(const struct lf_sharing_local *local,
                                   const struct lf_sharing_agreed *agreed,
                                   const struct lf_published *theirs)
{
    bool knew = agreed->stamp_ms > 0;
    bool changed =
        local->version > 0 &&
        (knew ? local->id != agreed->id || local->version != agreed->version : !local->published);
    bool news = theirs && (!knew || theirs->stamp_ms != agreed->stamp_ms ||
                           strcmp(theirs->sha256, agreed->sha256) != 0);
    bool withdrawn = theirs && theirs->version == 0;
    if (changed || (local->version > 0 && !theirs))
        return LF_SHARING_PUBLISH;
    if (!theirs || (knew && agreed->id != 0 && local->id == 0 && news))
        return LF_SHARING_NOTHING;
    if (knew && agreed->id != 0 && local->id == 0)
        return withdrawn ? LF_SHARING_NOTHING : LF_SHARING_WITHDRAW;
    if (!news)
        return LF_SHARING_NOTHING;
    if (withdrawn)
        return local->version > 0 ? LF_SHARING_REMOVE : LF_SHARING_NOTHING;
    return local->wanted ? LF_SHARING_ADOPT : LF_SHARING_NOTHING;
}
