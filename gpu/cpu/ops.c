/* The cpu backend's table of operations for one instruction set. */
#include "gpu/backend.h"
#include "gpu/cpu/isa.h"
#include "gpu/host.h"

const struct lf_ops LF_ISA(ops) = {.linear_scratch_bytes = lf_host_linear_scratch_bytes,
                                   LF_OP_ROWS(LF_ISA_SET, ref)};
