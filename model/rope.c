/* Rotary tables: inverse frequencies of each kind, then cos and sin of every position. */
#include "model/rope.h"

#include <math.h>

size_t lf_rope_rows(const struct lf_config *c, int positions)
{
    return (size_t)positions * (c->rope == LF_ROPE_LONGROPE ? 2 : 1);
}

static float llama3(float inv, const struct lf_config *c)
{
    double wavelen = 2 * M_PI / inv;
    double original = c->rope_original_positions;
    if (wavelen < original / c->rope_high_freq)
        return inv;
    if (wavelen > original / c->rope_low_freq)
        return inv / (float)c->rope_factor;
    float smooth =
        (float)((original / wavelen - c->rope_low_freq) / (c->rope_high_freq - c->rope_low_freq));
    return (1 - smooth) * inv / (float)c->rope_factor + smooth * inv;
}

/* The (fractional) pair that turns `rotations` times within the original context. */
static double yarn_dim(const struct lf_config *c, double rotations)
{
    double original = c->rope_original_positions;
    return c->rot * log(original / (rotations * 2 * M_PI)) / (2 * log(c->rope_theta));
}

static float yarn(float inv, int i, const struct lf_config *c)
{
    double low = yarn_dim(c, c->rope_beta_fast), high = yarn_dim(c, c->rope_beta_slow);
    if (c->rope_truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, c->rot - 1);
    if (low == high)
        high += 0.001;
    double ramp = fmin(fmax((i - low) / (high - low), 0), 1);
    return (float)(inv / c->rope_factor * ramp + inv * (1 - ramp));
}

static float inverse_frequency(const struct lf_config *c, int i, bool long_)
{
    float exponent = (float)(2 * i) / (float)c->rot;
    float power = powf((float)c->rope_theta, exponent);
    float inv = 1.0f / power;
    switch (c->rope) {
    case LF_ROPE_DEFAULT:
        break;
    case LF_ROPE_LINEAR:
        return inv / (float)c->rope_factor;
    case LF_ROPE_LLAMA3:
        return llama3(inv, c);
    case LF_ROPE_LONGROPE:
        return 1.0f / ((float)(long_ ? c->rope_long[i] : c->rope_short[i]) * power);
    case LF_ROPE_YARN:
        return yarn(inv, i, c);
    }
    return inv;
}

void lf_rope_tables(float *cos_, float *sin_, const struct lf_config *c, int positions)
{
    int half = c->rot / 2;
    float inv[LF_HEAD_DIM_MAX / 2], scale = (float)c->rope_attention_factor;
    size_t rows = lf_rope_rows(c, positions);
    for (size_t row = 0; row < rows; row++) {
        int pos = (int)(row % (size_t)positions);
        for (int i = 0; pos == 0 && i < half; i++)
            inv[i] = inverse_frequency(c, i, row > 0);
        for (int i = 0; i < half; i++) {
            float angle = (float)pos * inv[i];
            cos_[row * (size_t)half + (size_t)i] = cosf(angle) * scale;
            sin_[row * (size_t)half + (size_t)i] = sinf(angle) * scale;
        }
    }
}
