#!/usr/bin/env python3
"""Compiles this project's CUDA kernels without a GPU, and checks their arithmetic on the CPU.

    python3 tools/cuda/compile.py --home "$CUDA_HOME"

1. NVRTC compiles `crates/llm-core/src/kernels/cuda` as the programs do when they start: one source,
   no headers. It lists what each kernel is called, so that a name can be looked up.
2. ptxas, where the home has it, makes machine code of the result for each GPU asked for and reports
   registers and spills.
3. With --emulate the same source is compiled as C++, a block being one thread, and compared with
   loops in f64 (tools/cuda/emulate.cpp). What a warp and a block do together is not tested by that.

Exit codes: 0 ok, 1 a kernel does not compile or differs, 2 bad arguments.
"""

import argparse
import ctypes
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ROOT / "crates" / "llm-core" / "src" / "kernels" / "cuda"
# As in crates/llm-core/src/kernels/cuda/mod.rs.
SOURCES = ["prelude.cuh", "norm.cu", "elementwise.cu", "embedding.cu", "cross_entropy.cu", "attention.cu",
           "adamw.cu"]
OPTIONS = ["--gpu-architecture=compute_75", "--std=c++17"]


class Failure(Exception):
    pass


def source():
    return "\n".join((KERNELS / name).read_text() for name in SOURCES)


def nvrtc(home):
    path = home / "lib" / "libnvrtc.so"
    if not path.exists():
        path = home / "lib64" / "libnvrtc.so"
    # The compiler opens its own data by name.
    for part in sorted(path.parent.glob("libnvrtc-builtins.so.*")):
        ctypes.CDLL(str(part), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(path))


def text(library, size_of, get, program):
    size = ctypes.c_size_t()
    getattr(library, size_of)(program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    getattr(library, get)(program, buffer)
    return buffer.value.decode()


def compile_to_ptx(home):
    library = nvrtc(home)
    program = ctypes.c_void_p()
    code = source().encode()
    library.nvrtcCreateProgram(ctypes.byref(program), code, b"kernels.cu", 0, None, None)
    options = (ctypes.c_char_p * len(OPTIONS))(*[option.encode() for option in OPTIONS])
    status = library.nvrtcCompileProgram(program, len(OPTIONS), options)
    log = text(library, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog", program).strip()
    if log:
        print(log)
    if status != 0:
        raise Failure("NVRTC does not compile the kernels")
    return text(library, "nvrtcGetPTXSize", "nvrtcGetPTX", program)


def assemble(home, ptx, architectures):
    ptxas = home / "bin" / "ptxas"
    if not ptxas.exists():
        print("ptxas is not in this home: no machine code was made")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernels.ptx"
        path.write_text(ptx)
        for architecture in architectures:
            command = [str(ptxas), "-v", f"-arch={architecture}", "-o", os.devnull, str(path)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0:
                raise Failure(f"ptxas for {architecture}: {done.stderr.strip()}")
            spills = [int(n) for n in re.findall(r"(\d+) bytes spill stores", done.stderr)]
            registers = [int(n) for n in re.findall(r"Used (\d+) registers", done.stderr)]
            print(f"{architecture}: {len(registers)} kernels, at most {max(registers)} registers, "
                  f"{sum(spills)} bytes spilled")


def emulate():
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "emulate"
        body = Path(folder) / "kernels.inc"
        body.write_text(source())
        command = ["c++", "-std=c++17", "-O1", "-Wall", "-Wno-unknown-pragmas", "-Wno-unused-function",
                   f"-I{folder}", "-o", str(program), str(ROOT / "tools" / "cuda" / "emulate.cpp")]
        if subprocess.run(command).returncode != 0:
            raise Failure("the kernels do not compile as C++")
        if subprocess.run([str(program)]).returncode != 0:
            raise Failure("a kernel differs from the loops")


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=os.environ.get("CUDA_HOME"), metavar="DIR",
                        help="the CUDA home (default: $CUDA_HOME)")
    parser.add_argument("--arch", nargs="+", default=["sm_80", "sm_90"], metavar="SM",
                        help="GPUs to make machine code for (default: sm_80 sm_90)")
    parser.add_argument("--emulate", action="store_true", help="also run the kernels on the CPU")
    return parser.parse_args()


def main():
    settings = arguments()
    if settings.home is None:
        print("error: no CUDA home\nhint: --home DIR, or `python3 tools/cuda/toolkit.py` makes one",
              file=sys.stderr)
        return 2
    try:
        ptx = compile_to_ptx(settings.home)
        entries = re.findall(r"\.visible \.entry (\w+)", ptx)
        print(f"NVRTC: {len(entries)} kernels: {' '.join(sorted(entries))}")
        assemble(settings.home, ptx, settings.arch)
        if settings.emulate:
            emulate()
    except (Failure, OSError) as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
