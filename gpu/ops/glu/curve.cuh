/* Activation functions and their derivatives. Private to gpu/. */
#ifndef LF_GPU_OPS_GLU_CURVE_CUH
#define LF_GPU_OPS_GLU_CURVE_CUH

#include "gpu/cuda/kernel.cuh"

struct curve {
    float y, dy; /* act(x) and its derivative */
};

/* Written so that no intermediate overflows: the logistic function of -x is 1 minus that of x. */
template <enum lf_act_kind act> LF_DEVICE struct curve curve_at(float x)
{
    if (act == LF_ACT_SILU) {
        float sig = __fdividef(1.0f, 1.0f + exp2_fast(-LOG2E * fmaxf(x, -80.0f)));
        return {x * sig, sig * (1.0f + x * (1.0f - sig))};
    }
    if (act == LF_ACT_GELU_TANH) {
        const float c = 0.7978845608f, k = 0.044715f;
        float th = tanhf(c * (x + k * x * x * x)), slope = c * (1.0f + 3.0f * k * x * x);
        return {0.5f * x * (1.0f + th), 0.5f * (1.0f + th) + 0.5f * x * (1.0f - th * th) * slope};
    }
    float cdf = 0.5f * erfcf(-x * 0.7071067812f);
    float pdf = 0.3989422804f * exp2_fast(-0.5f * LOG2E * x * x);
    return {x * cdf, cdf + x * pdf};
}

/* act(x), the function chosen at run time. */
LF_DEVICE float act_at(enum lf_act_kind act, float x)
{
    if (act == LF_ACT_SILU)
        return curve_at<LF_ACT_SILU>(x).y;
    return act == LF_ACT_GELU_TANH ? curve_at<LF_ACT_GELU_TANH>(x).y
                                   : curve_at<LF_ACT_GELU_ERF>(x).y;
}

#endif
