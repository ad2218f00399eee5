/* config.json's rotary embedding, in both spellings: "rope_theta" beside "rope_scaling"
 * (transformers 4), or both in "rope_parameters" (5), which architectures with two ropes have by
 * layer type. Defaults and formulas are those of transformers' modeling_rope_utils.py. */
#include "model/arch.h"
#include "model/rope.h"

#include "core/json.h"

#include <math.h>
#include <string.h>

static void read_kind(struct lf_rope *rope, const struct lf_arch *a, struct lf_json_in *own)
{
    static const struct {
        const char *name;
        enum lf_rope_kind kind;
    } kinds[] = {
        {"default", LF_ROPE_DEFAULT},   {"linear", LF_ROPE_LINEAR}, {"llama3", LF_ROPE_LLAMA3},
        {"longrope", LF_ROPE_LONGROPE}, {"su", LF_ROPE_LONGROPE},   {"yarn", LF_ROPE_YARN},
    };
    const char *name = lf_json_str(own, "rope_type", lf_json_str(own, "type", "default"));
    if (own->rc != LF_OK)
        return;
    if (a->yarn_is_longrope && strcmp(name, "yarn") == 0)
        name = "longrope";
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0) {
            rope->kind = kinds[i].kind;
            return;
        }
    own->rc = lf_fail(own->diag, LF_E_UNSUPPORTED, "rope type \"%.64s\" is not supported", name);
}

static void read_factors(double *out, int n, struct lf_json_in *own, const char *key)
{
    const json_t *list = json_object_get(own->obj, key);
    if (own->rc != LF_OK)
        return;
    if (!json_is_array(list) || json_array_size(list) != (size_t)n) {
        own->rc =
            lf_fail(own->diag, LF_E_INVALID, "rope's \"%s\" must be a list of %d numbers", key, n);
        return;
    }
    for (int i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, (size_t)i);
        out[i] = json_is_number(v) ? json_number_value(v) : 0;
        if (!(out[i] > 0 && out[i] < 1e12) && own->rc == LF_OK)
            own->rc =
                lf_fail(own->diag, LF_E_INVALID, "rope's \"%s\" must be positive numbers", key);
    }
}

static double yarn_mscale(double factor, double mscale)
{
    return factor <= 1 ? 1.0 : 0.1 * mscale * log(factor) + 1.0;
}

/* attention_factor, or the formula where the file leaves it to that. */
static void read_attention(struct lf_rope *rope, struct lf_json_in *own)
{
    double factor = rope->factor, original = rope->original_positions;
    double given = lf_json_real(own, "attention_factor", 0, 0, 1e6);
    double mscale = lf_json_real(own, "mscale", 0, 0, 1e6);
    double mscale_all = lf_json_real(own, "mscale_all_dim", 0, 0, 1e6);
    if (given > 0)
        rope->attention_factor = given;
    else if (rope->kind == LF_ROPE_LONGROPE)
        rope->attention_factor = factor <= 1 ? 1.0 : sqrt(1 + log(factor) / log(original));
    else if (mscale > 0 && mscale_all > 0)
        rope->attention_factor = yarn_mscale(factor, mscale) / yarn_mscale(factor, mscale_all);
    else
        rope->attention_factor = yarn_mscale(factor, 1);
}

static void read_scaling(struct lf_rope *rope, const struct lf_config *c, struct lf_json_in *own)
{
    bool stretches = rope->kind == LF_ROPE_LONGROPE || rope->kind == LF_ROPE_YARN;
    double usual = stretches ? (double)c->positions_max / rope->original_positions : 0;
    rope->factor = lf_json_real(own, "factor", usual, 1e-6, 1e6);
    if (own->rc == LF_OK && rope->factor == 0)
        own->rc = lf_fail(own->diag, LF_E_INVALID, "rope's \"factor\" is missing");
    if (rope->kind == LF_ROPE_LLAMA3) {
        rope->low_freq = lf_json_real(own, "low_freq_factor", 0, 1e-6, 1e6);
        rope->high_freq = lf_json_real(own, "high_freq_factor", 0, 1e-6, 1e6);
        if (own->rc == LF_OK && !(rope->high_freq > rope->low_freq && rope->low_freq > 0))
            own->rc = lf_fail(own->diag, LF_E_INVALID,
                              "rope's \"low_freq_factor\" and \"high_freq_factor\" "
                              "must be there, the first below the second");
    }
    if (rope->kind == LF_ROPE_YARN) {
        rope->beta_fast = lf_json_real(own, "beta_fast", rope->beta_fast, 1e-6, 1e6);
        rope->beta_slow = lf_json_real(own, "beta_slow", rope->beta_slow, 1e-6, 1e6);
        rope->truncate = lf_json_bool(own, "truncate", rope->truncate);
    }
    if (rope->kind == LF_ROPE_LONGROPE) {
        read_factors(rope->short_factor, c->rot / 2, own, "short_factor");
        read_factors(rope->long_factor, c->rot / 2, own, "long_factor");
    }
    if (stretches)
        read_attention(rope, own);
}

/* One rope: its object's own keys (r; NULL: it has none) win over those beside it in the file,
 * but for the original context, as in transformers. */
static void read_rope(struct lf_config *c, struct lf_rope *rope, const struct lf_arch *a,
                      struct lf_json_in *file, const json_t *r, const char *theta_key, double theta)
{
    int original =
        lf_json_int(file, "original_max_position_embeddings", a->original_positions, 2, 1 << 24);
    double partial = lf_json_real(file, "partial_rotary_factor", a->partial_rotary, 1e-6, 1);
    theta = lf_json_real(file, theta_key, theta, 1, 1e12);
    struct lf_json_in own = lf_json_in(r, file->diag);
    own.rc = file->rc;
    if (original == 0)
        original =
            lf_json_int(&own, "original_max_position_embeddings", c->positions_max, 2, 1 << 24);
    partial = lf_json_real(&own, "partial_rotary_factor", partial, 1e-6, 1);
    rope->theta = lf_json_real(&own, "rope_theta", theta, 1, 1e12);
    rope->attention_factor = 1;
    rope->beta_fast = 32;
    rope->beta_slow = 1;
    rope->truncate = true;
    read_kind(rope, a, &own);
    int rot = (int)(c->D * partial);
    if (own.rc == LF_OK && (rot < 2 || rot % 2 != 0 || (c->rot != 0 && rot != c->rot)))
        own.rc = lf_fail(own.diag, LF_E_UNSUPPORTED,
                         "rotating %d of a head's %d dimensions is not "
                         "supported (an even number is, the same in every layer)",
                         rot, c->D);
    c->rot = rot;
    if (own.rc == LF_OK && rope->kind != LF_ROPE_DEFAULT) {
        rope->original_positions = original;
        read_scaling(rope, c, &own);
    }
    file->rc = own.rc;
}

/* The object of either spelling; NULL where the file has none. */
static const json_t *one_object(struct lf_json_in *file)
{
    const char *const keys[] = {"rope_scaling", "rope_parameters"};
    const json_t *found = NULL;
    for (int i = 0; i < 2; i++) {
        const json_t *r = lf_json_object(file, keys[i]);
        const char *key;
        json_t *v;
        json_object_foreach((json_t *)(uintptr_t)r, key, v)
            if (json_is_object(v) && file->rc == LF_OK)
                file->rc =
                    lf_fail(file->diag, LF_E_UNSUPPORTED,
                            "\"%s\" by layer type (\"%.64s\") is not supported", keys[i], key);
        found = found ? found : r;
    }
    return found;
}

/* The objects of an architecture with two ropes: "rope_scaling" is the global one's. */
static void two_objects(const json_t *out[LF_ROPES_MAX], struct lf_json_in *file)
{
    static const char *const types[] = {"full_attention", "sliding_attention", NULL};
    const json_t *both = lf_json_object(file, "rope_parameters");
    struct lf_json_in of = lf_json_in(both, file->diag);
    if (both)
        of.rc = lf_json_only(both, types, of.diag);
    for (int i = 0; i < LF_ROPES_MAX; i++)
        out[i] = lf_json_object(&of, types[i]);
    if (of.rc != LF_OK)
        file->rc = lf_fail_within(file->diag, of.rc, "\"rope_parameters\"");
    const json_t *scaling = lf_json_object(file, "rope_scaling");
    if (scaling)
        out[LF_ROPE_GLOBAL] = scaling;
}

void lf_rope_read(struct lf_config *c, const struct lf_arch *a, struct lf_json_in *file)
{
    const json_t *r[LF_ROPES_MAX] = {NULL};
    if (file->rc != LF_OK)
        return;
    if (a->local_theta_key)
        two_objects(r, file);
    else
        r[LF_ROPE_GLOBAL] = one_object(file);
    c->n_ropes = a->local_theta_key ? 2 : 1;
    read_rope(c, &c->rope[LF_ROPE_GLOBAL], a, file, r[LF_ROPE_GLOBAL], "rope_theta", a->theta);
    if (!a->local_theta_key)
        return;
    read_rope(c, &c->rope[LF_ROPE_LOCAL], a, file, r[LF_ROPE_LOCAL], a->local_theta_key,
              a->local_theta);
    for (int i = 0; i < 2 && file->rc == LF_OK; i++)
        if (c->rope[i].kind == LF_ROPE_LONGROPE)
            file->rc = lf_fail(file->diag, LF_E_UNSUPPORTED,
                               "rope type \"longrope\" by layer type is not supported");
    for (int l = 0; l < c->L; l++)
        c->layer_rope[l] = c->window[l] > 0 ? LF_ROPE_LOCAL : LF_ROPE_GLOBAL;
}
