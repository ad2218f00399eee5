"""merge_oracle.py MERGE_ADAPTERS: merged adapters against peft's add_weighted_adapter.

Linear is PEFT's "cat" in what it does to every weight. What DARE drops is drawn by another
generator there: here at density 1, and otherwise that what is kept is right, as much as was asked
for, and the same again."""
import json
import os
import subprocess
import sys
import tempfile

try:
    import torch
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import load_file
    from transformers import LlamaConfig, LlamaForCausalLM
except ImportError as e:
    print("skipped:", e)
    sys.exit(77)

C = LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
                architectures=["LlamaForCausalLM"])


def randomise(model, name):
    for key, p in model.named_parameters():
        if ".%s." % name in key:
            p.data = torch.randn_like(p) * 0.1


def lora(rank, alpha, targets):
    return LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, task_type="CAUSAL_LM")


def ours(work, tool, base, strategy, density, method, parts):
    out = os.path.join(work, "out")
    run = subprocess.run([tool, base, out, strategy, str(density), method, *parts],
                         capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(run.stderr)
    with open(os.path.join(out, "adapter_config.json")) as f:
        assert json.load(f)["r"] > 0
    return {k.removeprefix("base_model.model."): v
            for k, v in load_file(os.path.join(out, "adapter_model.safetensors")).items()}


def theirs(model, name, sites):
    modules = dict(model.named_modules())
    got = {}
    for site in sites:
        m = modules["base_model.model." + site]
        if name in m.lora_A:
            got[site + ".lora_A.weight"] = m.lora_A[name].weight.data
            got[site + ".lora_B.weight"] = m.lora_B[name].weight.data
            got[site] = m.scaling[name]
    return got


def sites_of(ws):
    return sorted({k.rsplit(".lora_", 1)[0] for k in ws})


def close(a, b, what):
    worst = (a - b).abs().max().item()
    if worst > 2e-6:
        raise SystemExit("%s: differs by %g" % (what, worst))


def compare(model, got, strategy, weights, **kinds):
    """Ours (got) against peft's; linear by the products, the others by the factors."""
    peft_name = "cat" if strategy == "linear" else strategy
    names = ["a", "b", "c"][:len(weights)]
    name = "m%d" % len(model.peft_config)
    model.add_weighted_adapter(names, weights, name, combination_type=peft_name, **kinds)
    sites = sites_of(got)
    want = theirs(model, name, sites)
    assert len(want) == 3 * len(sites), (strategy, len(want), len(sites))
    for s in sites:
        A, B = got[s + ".lora_A.weight"], got[s + ".lora_B.weight"]
        wa, wb = want[s + ".lora_A.weight"], want[s + ".lora_B.weight"]
        if strategy == "linear":
            close(B @ A, want[s] * (wb @ wa), s)
        else:
            close(A, wa, s)
            close(B, want[s] * wb, s)


def check_dropped(work, tool, base, model, path):
    weight, density = 0.5, 0.3
    got = ours(work, tool, base, "dare_linear", density, "total", ["%g:%s" % (weight, path)])
    again = ours(work, tool, base, "dare_linear", density, "total", ["%g:%s" % (weight, path)])
    kept = total = 0
    for s in sites_of(got):
        for ab in "AB":
            key = "%s.lora_%s.weight" % (s, ab)
            m = dict(model.named_modules())["base_model.model." + s]
            x = getattr(m, "lora_" + ab)["a"].weight.data
            full = x * (weight * m.scaling["a"]) ** 0.5 / density
            assert torch.equal(got[key], again[key]), key
            alive = got[key] != 0
            close(got[key][alive], full[alive], key)
            kept, total = kept + alive.sum().item(), total + alive.numel()
    sigma = (density * (1 - density) / total) ** 0.5
    assert abs(kept / total - density) < 5 * sigma, (kept, total)


def main():
    tool = sys.argv[1]
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as work:
        base = os.path.join(work, "base")
        os.mkdir(base)
        C.save_pretrained(base)
        model = get_peft_model(LlamaForCausalLM(C), lora(8, 16, ["q_proj", "v_proj"]), "a")
        model.add_adapter("b", lora(8, 8, ["q_proj", "down_proj"]))
        model.add_adapter("c", lora(4, 12, ["q_proj", "v_proj"]))
        for name in "abc":
            randomise(model, name)
            model.save_pretrained(work, selected_adapters=[name])
        dirs = [os.path.join(work, n) for n in "abc"]

        def run(strategy, weights, density=1.0, method="total"):
            kinds = {"density": density} if strategy != "linear" else {}
            if "ties" in strategy:
                kinds["majority_sign_method"] = method
            parts = ["%r:%s" % (w, d) for w, d in zip(weights, dirs)]
            compare(model, ours(work, tool, base, strategy, density, method, parts), strategy,
                    weights, **kinds)
        run("linear", [0.7, 1.5, 0.25])
        for density in (0.2, 0.5, 1.0):
            for method in ("total", "frequency"):
                run("ties", [0.7, 1.5], density, method)
        run("ties", [0.7, -1.5], 0.5)
        run("dare_linear", [0.7, 1.5])
        run("dare_ties", [0.7, 1.5])
        check_dropped(work, tool, base, model, dirs[0])
        bad = subprocess.run([tool, base, work + "/x", "ties", "0.5", "total", "1:" + dirs[0],
                              "1:" + dirs[2]], capture_output=True, text=True, check=False)
        assert bad.returncode == 1 and "ranks 8 and 4" in bad.stderr, bad
    print("as peft merges them")


main()
