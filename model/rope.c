/* Rotary tables: inverse frequencies of each kind, then cos and sin of every position. */
#include "model/rope.h"

#include <math.h>

static float llama3(float inv, const struct lf_rope *r)
{
    double wavelen = 2 * M_PI / inv;
    double original = r->original_positions;
    if (wavelen < original / r->high_freq)
        return inv;
    if (wavelen > original / r->low_freq)
        return inv / (float)r->factor;
    float smooth = (float)((original / wavelen - r->low_freq) / (r->high_freq - r->low_freq));
    return (1 - smooth) * inv / (float)r->factor + smooth * inv;
}

/* The (fractional) pair that turns `rotations` times within the original context. */
static double yarn_dim(const struct lf_rope *r, int rot, double rotations)
{
    double original = r->original_positions;
    return rot * log(original / (rotations * 2 * M_PI)) / (2 * log(r->theta));
}

static float yarn(float inv, int i, const struct lf_rope *r, int rot)
{
    double low = yarn_dim(r, rot, r->beta_fast), high = yarn_dim(r, rot, r->beta_slow);
    if (r->truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, rot - 1);
    if (low == high)
        high += 0.001;
    double ramp = fmin(fmax((i - low) / (high - low), 0), 1);
    return (float)(inv / r->factor * ramp + inv * (1 - ramp));
}

static float inverse_frequency(const struct lf_rope *r, int rot, int i, bool far)
{
    float exponent = (float)(2 * i) / (float)rot;
    float power = powf((float)r->theta, exponent);
    float inv = 1.0f / power;
    switch (r->kind) {
    case LF_ROPE_DEFAULT:
        break;
    case LF_ROPE_LINEAR:
        return inv / (float)r->factor;
    case LF_ROPE_LLAMA3:
        return llama3(inv, r);
    case LF_ROPE_LONGROPE:
        return 1.0f / ((float)(far ? r->long_factor[i] : r->short_factor[i]) * power);
    case LF_ROPE_YARN:
        return yarn(inv, i, r, rot);
    }
    return inv;
}

size_t lf_rope_rows(const struct lf_config *c)
{
    return (size_t)c->positions_max * (lf_rope_varies(c) ? 2 : 1);
}

void lf_rope_tables(float *cos_, float *sin_, const struct lf_config *c, const struct lf_rope *rope)
{
    int half = c->rot / 2;
    float inv[LF_HEAD_DIM_MAX / 2], scale = (float)rope->attention_factor;
    size_t rows = lf_rope_rows(c);
    for (size_t row = 0; row < rows; row++) {
        int pos = (int)(row % (size_t)c->positions_max);
        for (int i = 0; pos == 0 && i < half; i++)
            inv[i] = inverse_frequency(rope, c->rot, i, row > 0);
        for (int i = 0; i < half; i++) {
            float angle = (float)pos * inv[i];
            cos_[row * (size_t)half + (size_t)i] = cosf(angle) * scale;
            sin_[row * (size_t)half + (size_t)i] = sinf(angle) * scale;
        }
    }
}

int lf_rope_row(const struct lf_config *c, int n_tokens)
{
    bool far = lf_rope_varies(c) && n_tokens > c->rope[LF_ROPE_GLOBAL].original_positions;
    return far ? c->positions_max : 0;
}
