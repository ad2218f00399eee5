/* Any JSON as a config.json: described or refused; what is described stays within its bounds. */
#include "core/json.h"
#include "model/config.h"
#include "model/rope.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expect(bool holds)
{
    if (!holds)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct lf_config c;
    struct lf_diag diag;
    json_t *j;
    if (lf_json_parse(&j, (const char *)data, n, &diag) != LF_OK)
        return 0;
    if (lf_config_parse(&c, j, &diag) == LF_OK) {
        float cos_[2 * LF_HEAD_DIM_MAX], sin_[2 * LF_HEAD_DIM_MAX];
        expect(c.L >= 1 && c.L <= LF_LAYERS_MAX);
        expect(c.D >= 1 && c.D <= LF_HEAD_DIM_MAX && c.rot >= 2 && c.rot <= c.D);
        expect(c.Hkv >= 1 && c.H % c.Hkv == 0);
        expect(c.n_proj >= 4 && c.n_proj <= LF_PROJ_MAX);
        expect(lf_config_params(&c) > 0);
        expect(c.n_ropes >= 1 && c.n_ropes <= LF_ROPES_MAX);
        c.positions_max = 1;
        for (int i = 0; i < c.n_ropes; i++)
            lf_rope_tables(cos_, sin_, &c, &c.rope[i]);
    }
    json_decref(j);
    return 0;
}
