#!/usr/bin/env python3
"""Every header compiles alone: as C17, and as C++17 where C++ may include it.

usage: headers.py CC CXX [COMPILER FLAG...]. A header is for C++ too when it has a __cplusplus
guard, or when a .cu or .cuh file includes it.
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(os.environ["LF_SOURCE"])
# What the cpu backend's kernels are compiled with for the oldest machine (gpu/CMakeLists.txt).
CPU_KERNELS = ["-fopenmp-simd", "-Wno-psabi"]
ROOMS = os.environ["LF_ROOMS"].split()


def compiles(job):
    compiler, language, standard, header, flags = job
    command = [compiler, "-x", language, f"-std={standard}", "-D_GNU_SOURCE", f"-I{ROOT}",
               "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", *CPU_KERNELS,
               "-fsyntax-only", *flags, "-"]
    source = f'#include "{header}"\n#include "{header}"\n'
    done = subprocess.run(command, input=source, text=True, capture_output=True, check=False)
    return f"{header} as {language}:\n{done.stderr}" if done.returncode else ""


def main(cc, cxx, flags):
    headers = [str(p.relative_to(ROOT))
               for room in ROOMS for p in sorted((ROOT / room).rglob("*.h"))]
    from_cuda = set()
    for source in [*ROOT.glob("gpu/**/*.cu"), *ROOT.glob("gpu/**/*.cuh")]:
        from_cuda |= set(re.findall(r'#include "([^"]+\.h)"', source.read_text()))
    jobs = []
    for header in headers:
        jobs.append((cc, "c", "gnu17", header, flags))
        if header in from_cuda or "__cplusplus" in (ROOT / header).read_text():
            jobs.append((cxx, "c++", "gnu++17", header, flags))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        troubles = [t for t in pool.map(compiles, jobs) if t]
    print("\n".join(troubles) or f"{len(headers)} headers, {len(jobs)} compilations")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
