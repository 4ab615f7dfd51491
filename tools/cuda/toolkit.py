#!/usr/bin/env python3
"""Makes a CUDA 13.0 home out of Python wheels, for machines without NVIDIA's installer.

    python3 tools/cuda/toolkit.py --compute-cap 90
    python3 tools/cuda/toolkit.py --out ~/cuda-13.0 --compute-cap 90 > cuda.env && . ./cuda.env

stdout is the `export` lines that a build needs; progress goes to stderr. The compiler, the headers
and the libraries come from NVIDIA's wheels of one release, each pinned by version and sha256, through
the pip of the Python that runs this. A GPU is not needed. What was downloaded is kept until the home
is complete, so a run that was interrupted goes on; the home appears under its name only when it is.

Exit codes: 0 ok, 1 a download or check failed, 2 bad arguments or machine.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

RELEASE = "13.0"

# name, version, file and sha256 of every wheel; Linux on x86-64
_LINUX = "manylinux2014_x86_64.manylinux_2_17_x86_64"
_OLD_LINUX = "manylinux2010_x86_64.manylinux_2_12_x86_64"
_NEW_LINUX = "manylinux_2_27_x86_64"
WHEELS = [
    ("nvidia-cuda-nvcc", "13.0.88", _LINUX,
     "56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03"),
    ("nvidia-nvvm", "13.0.88", _OLD_LINUX,
     "c5f41ffeb6466944a026dfa5317d7d85355c119bbec279205d22f1869d1054e0"),
    ("nvidia-cuda-crt", "13.0.88", _LINUX,
     "2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4"),
    ("nvidia-cuda-cccl", "13.0.85", _LINUX,
     "e0da7ad981f3a8aff08241b5bfc1af868742a63e2762f53a5171c492ef242649"),
    ("nvidia-cuda-runtime", "13.0.96", _LINUX,
     "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"),
    ("nvidia-cuda-nvrtc", "13.0.88", _OLD_LINUX,
     "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575"),
    ("nvidia-cublas", "13.1.0.3", _NEW_LINUX,
     "ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171"),
    ("nvidia-curand", "10.4.0.35", _NEW_LINUX,
     "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc"),
]

# The folder inside each wheel that becomes the home.
INSIDE = "nvidia/cu13/"
MANIFEST = "toolkit.json"

# Every GPU of this generation or later runs what is built for it, through the driver's compiler.
OLDEST_WITH_BF16 = 80

# Functions of the driver that another header declares, which no wheel has.
PROFILER = ["cuProfilerInitialize", "cuProfilerStart", "cuProfilerStop"]

# A kernel that needs compiler, device library, runtime headers and the number types.
PROBE = """
#include <cuda_bf16.h>
extern "C" __global__ void probe(__nv_bfloat16* y, const float* x) {
    y[threadIdx.x] = __float2bfloat16(expf(x[threadIdx.x]));
}
"""


class Failure(Exception):
    """What went wrong, what to do about it, and the exit code."""

    def __init__(self, problem, hint, code=1):
        super().__init__(problem)
        self.hint = hint
        self.code = code


def say(text):
    print(text, file=sys.stderr, flush=True)


def file_name(name, version, tags):
    return f"{name.replace('-', '_')}-{version}-py3-none-{tags}.whl"


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def check_machine():
    found = (platform.system(), platform.machine())
    if found != ("Linux", "x86_64"):
        raise Failure(
            f"this machine is {' '.join(found)}, the pinned wheels are for Linux x86_64",
            f"install the CUDA {RELEASE} toolkit with NVIDIA's installer and set CUDA_HOME", 2)
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None or shutil.which("c++") is None:
        raise Failure(
            "no C and C++ compiler was found, nvcc needs both",
            "install gcc and g++ (Debian and Ubuntu: apt install build-essential)", 2)
    return compiler


def compute_cap(asked):
    """Digits of a compute capability such as 90, and where they come from."""
    if asked is not None:
        digits = asked.replace(".", "")
        if not re.fullmatch(r"[1-9]\d{1,2}", digits):
            raise Failure(
                f"--compute-cap: `{asked}` is not a compute capability",
                "give it as 80 (A100), 86 (RTX 30), 89 (RTX 40, L4), 90 (H100) or 120 (RTX 50)", 2)
        return digits, "asked for"
    ask = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        lines = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.split()
        return min(line.replace(".", "") for line in lines), "of the GPU in this machine"
    except (OSError, subprocess.CalledProcessError, ValueError):
        return str(OLDEST_WITH_BF16), "no GPU answered; --compute-cap sets another"


def download(wheels):
    """Every pinned wheel under `wheels`, the missing and damaged ones from the package index."""
    wheels.mkdir(parents=True, exist_ok=True)
    for name, version, tags, digest in WHEELS:
        path = wheels / file_name(name, version, tags)
        if path.exists() and sha256(path) == digest:
            say(f"have      {name} {version}")
            continue
        path.unlink(missing_ok=True)
        say(f"download  {name} {version}")
        pinned = wheels / "pinned.txt"
        pinned.write_text(f"{name}=={version} --hash=sha256:{digest}\n")
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
            "--require-hashes", "--disable-pip-version-check", "--dest", str(wheels),
            "--requirement", str(pinned)]
        if subprocess.run(command, stdout=sys.stderr).returncode != 0:
            raise Failure(
                f"pip could not download {name} {version}",
                "check the network and pip's index settings, then run this again: it goes on "
                "where it stopped")
        if not path.exists() or sha256(path) != digest:
            raise Failure(f"{path.name} is not the pinned file", "run this again")


def unpack(wheels, home):
    for name, version, tags, _digest in WHEELS:
        path = wheels / file_name(name, version, tags)
        say(f"unpack    {name} {version}")
        with zipfile.ZipFile(path) as wheel:
            for member in wheel.infolist():
                place = destination(home, name, member)
                if place is None:
                    continue
                place.parent.mkdir(parents=True, exist_ok=True)
                with wheel.open(member) as source, open(place, "wb") as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)
                program = "bin" in place.relative_to(home).parts[:-1]
                place.chmod(0o755 if program else 0o644)


def destination(home, name, member):
    """Where a file of a wheel goes; None for what a home does not need."""
    path = member.filename
    if member.is_dir() or ".." in Path(path).parts or path.startswith("/"):
        return None
    if path.startswith(INSIDE) and not path.startswith(INSIDE + "."):
        return home / path[len(INSIDE):]
    if "/licenses/" in path:
        return home / "licenses" / name / Path(path).name
    return None


def link(home):
    """Unversioned names for the linker, and the folder name that build scripts look for."""
    for library in sorted((home / "lib").glob("lib*.so.*")):
        stem = library.name.split(".so.")[0]
        if stem.endswith(".alt"):
            continue
        plain = library.with_name(stem + ".so")
        if not plain.exists():
            plain.symlink_to(library.name)
    (home / "lib64").symlink_to("lib")


def driver_symbols(header):
    """The functions of the driver as its header declares them and as its macros rename them."""
    text = header.read_text(encoding="utf-8", errors="replace")
    declared = re.findall(r"\bCUDAAPI\s+(cu[A-Z]\w*)\s*\(", text)
    renamed = re.findall(r"#\s*define\s+cu[A-Z]\w*\s+(cu[A-Z]\w*)", text)
    renamed += re.findall(r"__CUDA_API_(?:PTDS|PTSZ)\(\s*(cu[A-Z]\w*)\s*\)", text)
    names = set(declared) | set(renamed) | set(PROFILER)
    # The per-thread stream variants are macros' work in C; bindings name them outright.
    names |= {name + end for name in names for end in ("_ptsz", "_ptds")}
    if len(declared) < 100:
        raise Failure(f"{header.name} declares {len(declared)} driver functions, expected hundreds",
                      "the pinned wheels and this script do not fit together; report it")
    return sorted(names)


def stub(home, compiler):
    """A libcuda to link against where no driver is. It stands in a folder of its own, which no
    program looks into when it runs, and answers every call with an error."""
    folder = home / "lib" / "stubs"
    folder.mkdir()
    source = folder / "libcuda.c"
    stub_library_error = 34  # CUDA_ERROR_STUB_LIBRARY
    symbols = driver_symbols(home / "include" / "cuda.h")
    functions = "".join(f"int {name}(void) {{ return {stub_library_error}; }}\n" for name in symbols)
    source.write_text("/* Only to link against. */\n" + functions)
    command = [compiler, "-shared", "-fPIC", "-O1", "-w", "-Wl,-soname,libcuda.so.1",
               "-o", str(folder / "libcuda.so"), str(source)]
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        raise Failure("the stub of libcuda does not compile", "the C compiler's message is above")
    source.unlink()
    say(f"stub      libcuda.so, {len(symbols):,} symbols")


def check(home, digits):
    """The compiler runs, is of the release, knows the GPU and finds its headers."""
    nvcc = home / "bin" / "nvcc"
    version = subprocess.run([str(nvcc), "--version"], capture_output=True, text=True)
    if f"release {RELEASE}," not in version.stdout:
        raise Failure(f"nvcc --version does not say release {RELEASE}: {version.stderr.strip()}",
                      "remove the output folder and run this again")
    source, output = home / "probe.cu", home / "probe.cubin"
    source.write_text(PROBE)
    command = [str(nvcc), "-cubin", f"-arch=sm_{digits}", "-o", str(output), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        text = (done.stdout + done.stderr).strip()
        raise Failure(f"nvcc does not compile a kernel for sm_{digits}: {text}",
                      "is the compute capability one of `nvcc --list-gpu-code`?")
    source.unlink()
    output.unlink()
    say(f"check     nvcc {RELEASE} compiles for sm_{digits}")


def pins():
    return {"release": RELEASE, "wheels": {name: digest for name, _v, _t, digest in WHEELS}}


def is_complete(out):
    try:
        return json.loads((out / MANIFEST).read_text()) == pins()
    except (OSError, ValueError):
        return False


def make(out, digits, compiler):
    """The home under its final name: built beside it, renamed when it is complete."""
    if is_complete(out):
        say(f"have      {out}")
        return check(out, digits)
    if out.exists():
        raise Failure(f"{out} exists and is not a complete home of this script",
                      "choose another --out, or remove that folder", 2)
    parts = out.with_name(out.name + ".partial")
    download(parts / "wheels")
    home = parts / "home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    unpack(parts / "wheels", home)
    link(home)
    stub(home, compiler)
    check(home, digits)
    (home / MANIFEST).write_text(json.dumps(pins(), indent=1) + "\n")
    os.rename(home, out)
    shutil.rmtree(parts)


def exports(out, digits):
    return "\n".join([
        f"export CUDA_HOME={shlex.quote(str(out))}",
        'export PATH="$CUDA_HOME/bin:$PATH"',
        f"export CUDA_COMPUTE_CAP={digits}",
    ])


def arguments():
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, metavar="DIR", default=root / "target" / f"cuda-{RELEASE}",
                        help=f"the home to make (default: target/cuda-{RELEASE} of this repository)")
    parser.add_argument("--compute-cap", metavar="N",
                        help="the GPU to build for, 90 or 9.0 for an H100 (default: of the GPU in this "
                        f"machine, else {OLDEST_WITH_BF16})")
    return parser.parse_args()


def main():
    settings = arguments()
    out = settings.out.expanduser().absolute()
    try:
        compiler = check_machine()
        digits, why = compute_cap(settings.compute_cap)
        say(f"CUDA {RELEASE} for compute capability {digits} ({why})")
        make(out, digits, compiler)
    except Failure as failure:
        say(f"error: {failure}")
        say(f"hint: {failure.hint}")
        return failure.code
    except OSError as error:
        say(f"error: {error}")
        say("hint: is there room for 3 GB and may this user write there?")
        return 1
    print(exports(out, digits))
    say('to run what you build: export LD_LIBRARY_PATH="$CUDA_HOME/lib:$LD_LIBRARY_PATH"')
    return 0


if __name__ == "__main__":
    sys.exit(main())
