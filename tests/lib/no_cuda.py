#!/usr/bin/env python3
"""Stand-ins for the CUDA libraries that a torch wheel links, so that torch computes on a CPU
without three gigabytes of them: no_cuda.py TORCH/lib. Needs cc, nm and readelf.

Each library of the wheel names the symbols that it wants and from which library, with versions; the
stand-ins define exactly these. The one that counts devices answers that there are none.
"""
import collections
import pathlib
import re
import subprocess
import sys

CUDA = re.compile(r"lib(cu|nccl|nvrtc|nvshmem)")
PLAIN = "long {0}(void) {{ return 1; }}\n"
ANSWERS = {
    "cudaGetDeviceCount": "int {0}(int *n) {{ *n = 0; return 100; }}\n",  # cudaErrorNoDevice
    "cudaGetLastError": "int {0}(void) {{ return 0; }}\n",
    "cudaPeekAtLastError": "int {0}(void) {{ return 0; }}\n",
    "cudaGetErrorString": 'const char *{0}(int e) {{ return "no CUDA"; }}\n',
    "cudaGetErrorName": 'const char *{0}(int e) {{ return "no CUDA"; }}\n',
}


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def versions(library):
    """Which library defines each symbol version that this one wants."""
    owner, origin = {}, None
    for line in output("readelf", "-VW", library).splitlines():
        if m := re.search(r"File: (\S+)", line):
            origin = m.group(1)
        if m := re.search(r"Name: (\S+)\s+Flags", line):
            owner[m.group(1)] = origin
    return owner


def wanted(folder):
    """{library: {version: symbols}}; symbols without a version are put under "", in each."""
    libraries = set()
    symbols = collections.defaultdict(lambda: collections.defaultdict(set))
    unversioned = set()
    for path in [*folder.glob("lib*.so"), *folder.parent.glob("_C*.so")]:
        libraries |= set(re.findall(r"NEEDED.*\[(.*)\]", output("readelf", "-dW", path)))
        owner = versions(path)
        for line in output("nm", "-D", "-u", path).splitlines():
            name, _, version = line.split()[-1].partition("@")
            if CUDA.match(owner.get(version, "")):
                symbols[owner[version]][version].add(name)
            elif not version and re.match(r"(cu|nccl|nvrtc|nvshmem)", name):
                unversioned.add(name)
    return {name: {**symbols[name], "": unversioned} for name in libraries if CUDA.match(name)}


def build(folder, library, symbols):
    source = "".join(ANSWERS.get(name, PLAIN).format(name)
                     for name in sorted(set().union(*symbols.values())))
    script = "".join("%s { global: %s };\n" % (version, " ".join(n + ";" for n in sorted(names)))
                     for version, names in symbols.items() if version)
    (folder / "no_cuda.map").write_text(script)
    versioned = [f"-Wl,--version-script={folder}/no_cuda.map"] if script else []
    subprocess.run(["cc", "-shared", "-fPIC", "-w", "-x", "c", "-", *versioned,
                    f"-Wl,-soname,{library}", "-o", folder / library],
                   input=source, text=True, check=True)


def main(folder):
    for library, symbols in wanted(folder).items():
        if not (folder / library).exists():
            build(folder, library, symbols)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
