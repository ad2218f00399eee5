"""bitsandbytes with its portable implementation on the CPU.

Its kernels for AVX-512 take the blocks of each row alone, so that weights whose rows are no
multiple of a block come out wrong, and compute in bf16 whatever compute type is asked for. And what
it compiles (torch.compile) takes longer than these small models. Imported for that effect, before
anything is computed.
"""
import bitsandbytes
import torch
import torch._dynamo
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from bitsandbytes.backends.utils import _get_4bit_code


def dequantize_4bit(A, absmax, blocksize, quant_type, shape, dtype):
    code = _get_4bit_code(quant_type, A.device)
    codes = A.view(torch.uint8).reshape(-1)
    return _dequantize_4bit_compute(codes, absmax.float(), code, blocksize, shape, dtype)


library = torch.library.Library("bitsandbytes", "IMPL")
library.impl("dequantize_4bit", dequantize_4bit, "CPU", allow_override=True)
torch._dynamo.config.disable = True
bitsandbytes.nn.modules.has_avx512bf16 = lambda: False
