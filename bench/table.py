#!/usr/bin/env python3
"""Figures of `lorafs bench --json` as one table: figure, floor, share of the floor, peers' figures.

    bench/table.py [FILE...] < lines

Lines that are no JSON object are passed over. peers.csv has what others reached on an H200 with the
shape of Mistral-7B: transformers 5.17 + peft 0.21 + bitsandbytes 0.50 ("standard stack"),
bitsandbytes' 4-bit kernels alone under a CUDA graph, ik_llama.cpp Q4_0 (August 2026), vLLM 0.26
with GPTQ weights (Marlin, Machete; each row the better) or bitsandbytes' NF4, Unsloth 2026.10.
"""
import csv
import fileinput
import json
import os

PEERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers.csv")


def peers_of(result, peers):
    """Those rows of peers whose filled cells are the result's."""
    def same(row, key):
        value = result.get(key)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return row[key] == "" or row[key] == text
    return [row for row in peers
            if all(same(row, key) for key in ("bench", "seqs", "tokens", "targets", "rank",
                                              "recomputed"))]


def name_of(r):
    name = f"{r['bench']} {r['seqs']}"
    if r["bench"] != "decode":
        name += f" x {r['tokens']}"
    if r["adapters"]:
        name += f", {r['targets']} r{r['rank']}"
        name += f", {r['adapters']} adapters" if r["adapters"] > 1 else ""
    return name + (", recompute" if r["recomputed"] else "")


def peer_text(row):
    memory = f" ({row['memory_gb']} GB)" if row["memory_gb"] else ""
    return f"{row['who']} {float(row['tokens_per_second']):,.0f}{memory}"


def table(results, peers):
    rows = [("what", "tok/s", "ms", "floor", "share", "GB", "peers")]
    for r in results:
        rows.append((name_of(r), f"{r['tokens_per_second']:,.0f}",
                     f"{1e3 * r['batch_seconds']:.2f}", f"{1e3 * r['floor_seconds']:.2f}",
                     f"{100 * r['share']:.0f}%", f"{r['memory_bytes'] / 1e9:.1f}",
                     "; ".join(peer_text(p) for p in peers_of(r, peers))))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [c.ljust(w) if i in (0, 6) else c.rjust(w)
                 for i, (c, w) in enumerate(zip(row, widths))]
        print("  ".join(cells).rstrip())


def main():
    results = []
    for line in fileinput.input():
        if line.startswith("{"):
            results.append(json.loads(line))
    with open(PEERS, newline="", encoding="utf-8") as f:
        table(results, list(csv.DictReader(f)))


if __name__ == "__main__":
    main()
