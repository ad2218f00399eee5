"""save_pretrained.py BASE DIR...: an adapter of BASE, random, which peft saves into each of DIR;
into the last one a second time, changed and with a line more in its card, and back from there."""
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM


def fresh():
    config = AutoConfig.from_pretrained(sys.argv[1])
    del config.quantization_config
    return AutoModelForCausalLM.from_config(config)


def parameters(model):
    return {name: p for name, p in model.state_dict().items() if "lora_" in name}


model = get_peft_model(fresh(), LoraConfig(r=4, target_modules=["q_proj", "down_proj"],
                                           init_lora_weights=False, task_type="CAUSAL_LM"))
for place in sys.argv[2:]:
    model.save_pretrained(place)
with open(f"{sys.argv[-1]}/README.md", "a") as card:
    card.write("Trained on nothing.\n")
for p in parameters(model).values():
    p.mul_(2)
model.save_pretrained(sys.argv[-1])
read = parameters(PeftModel.from_pretrained(fresh(), sys.argv[-1]))
for name, p in parameters(model).items():
    assert torch.equal(p, read[name]), name
