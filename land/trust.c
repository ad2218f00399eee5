/* Intervals, majority and collapse of a cell. */
#include "land/trust.h"

#include "core/json.h"
#include "score/confusion.h"

#include <math.h>

static const struct lf_interval unknown = {NAN, NAN};

struct lf_land_trust lf_land_trust_unknown(void)
{
    return (struct lf_land_trust){unknown, unknown, unknown, NAN, false};
}

/* What is no row scores has none. */
static enum lf_err rows_of(struct lf_row_scores *out, const json_t *part)
{
    enum lf_err rc = lf_row_scores_parse(out, lf_json_text_of(part, "row_scores"));
    return rc == LF_E_NO_MEMORY ? rc : LF_OK;
}

static struct lf_interval read_interval(const json_t *list)
{
    return json_array_size(list) == 2
               ? (struct lf_interval){json_number_value(json_array_get(list, 0)),
                                      json_number_value(json_array_get(list, 1))}
               : unknown;
}

enum lf_err lf_land_trust_of(struct lf_land_trust *out, const json_t *eval, const json_t *base)
{
    struct lf_row_scores after, before = {0};
    const json_t *confusion = json_object_get(eval, "confusion");
    const char *label;
    *out = lf_land_trust_unknown();
    enum lf_err rc = rows_of(&after, eval) ?: rows_of(&before, base);
    rc = rc ?: lf_lift_interval(&out->lift, &after, &before);
    lf_row_scores_free(&after);
    lf_row_scores_free(&before);
    out->tuned = read_interval(json_object_get(eval, "interval"));
    out->base = read_interval(json_object_get(base, "interval"));
    if (confusion) {
        out->majority = lf_confusion_majority(confusion, &label);
        out->collapsed = lf_confusion_collapsed(confusion);
    }
    return rc;
}

static void put_interval(json_t *to, const char *key, struct lf_interval x)
{
    if (!isnan(x.low))
        json_object_set_new(to, key, json_pack("[f, f]", x.low, x.high));
}

json_t *lf_land_trust_json(const struct lf_land_trust *t)
{
    json_t *j = json_object();
    put_interval(j, "base_interval", t->base);
    put_interval(j, "tuned_interval", t->tuned);
    put_interval(j, "lift_interval", t->lift);
    if (!isnan(t->majority)) {
        json_object_set_new(j, "majority", json_real(t->majority));
        json_object_set_new(j, "collapsed", json_boolean(t->collapsed));
    }
    return j;
}

struct lf_land_trust lf_land_trust_read(const json_t *j)
{
    return (struct lf_land_trust){read_interval(json_object_get(j, "base_interval")),
                                  read_interval(json_object_get(j, "tuned_interval")),
                                  read_interval(json_object_get(j, "lift_interval")),
                                  lf_json_real_of(j, "majority"),
                                  json_is_true(json_object_get(j, "collapsed"))};
}
