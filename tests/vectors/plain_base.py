"""The embedded base as an unquantised checkpoint in bf16, for tests that compare in fp32."""
import os

import bitsandbytes  # noqa: F401 transformers reads the embedded base by it
import torch
import transformers

HERE = os.path.dirname(os.path.abspath(__file__))
EMBEDDED = os.path.join(HERE, "..", "..", "share", "base")


def plain_base(out):
    """Writes it into the directory out, with its tokenizer; out. Weights have a little noise, so
    that quantising them anew loses something, as it does with a checkpoint as it was trained."""
    model = transformers.AutoModelForCausalLM.from_pretrained(EMBEDDED, dtype=torch.float32)
    model = model.dequantize().float()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.03 * p.std() * torch.randn(p.shape, generator=draw) * (p.dim() > 1)
    model.to(torch.bfloat16).save_pretrained(out)
    transformers.AutoTokenizer.from_pretrained(EMBEDDED).save_pretrained(out)
    return out
