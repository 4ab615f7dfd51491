"""Blocks of few bits as llama.cpp makes them: crates/llm-store/tests/fixtures/gguf.

    python tools/oracle/gguf_blocks.py

Small types come from the Python package `gguf` itself. Of the K types it only has readers, so their
bytes come from the C library that llama-cpp-python brings (`ggml_quantize_chunk`), and are read
back with `gguf` as a check of this script.
"""

import ctypes
import pathlib

import gguf
import numpy as np
import safetensors.numpy

FOLDER = pathlib.Path(__file__).parents[2] / "crates/llm-store/tests/fixtures/gguf"
ROW = 512
TYPES = gguf.GGMLQuantizationType
SMALL = [TYPES.Q8_0, TYPES.Q4_0, TYPES.Q5_0, TYPES.Q5_1, TYPES.F16, TYPES.BF16]
SEARCHED = [TYPES.Q4_K, TYPES.Q5_K, TYPES.Q6_K]


def rows():
    """Weights as models have them, and rows that a quantizer may trip over."""
    draw = np.random.default_rng(20)
    normal = [draw.normal(0, scale, ROW) for scale in (1e-4, 0.02, 0.02, 0.02, 0.05, 1.0, 30.0)]
    outlier = draw.normal(0, 0.02, ROW)
    outlier[::97] = 3.0
    uneven = draw.normal(0, 1, ROW) * np.repeat(10.0 ** draw.uniform(-4, 0, ROW // 32), 32)
    special = [
        outlier,
        uneven,
        draw.uniform(0, 1, ROW),
        draw.uniform(-1, 0, ROW),
        draw.integers(-8, 8, ROW) / 8,
        np.where(np.arange(ROW) % 64 < 32, 0.0, draw.normal(0, 0.1, ROW)),
        np.zeros(ROW),
        np.full(ROW, 0.5),
        np.full(ROW, -0.3),
        np.linspace(-1, 1, ROW),
        draw.laplace(0, 0.05, ROW),
        draw.standard_t(3, ROW) * 0.02,
        5 + draw.normal(0, 0.1, ROW),
    ]
    return np.array(normal + special, dtype=np.float32)


def library():
    """ggml's C library of llama-cpp-python."""
    import llama_cpp

    folder = pathlib.Path(llama_cpp.__file__).parent / "lib"
    ggml = ctypes.CDLL(str(next(folder.glob("libggml-base.*"))))
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    ggml.ggml_quantize_chunk.argtypes = [
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_void_p,
    ]
    return ggml


def searched(ggml, kind, values):
    """The bytes of a K type."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    out = np.zeros(values.size // block * size, dtype=np.uint8)
    source = np.ascontiguousarray(values)
    written = ggml.ggml_quantize_chunk(
        int(kind), source.ctypes.data, out.ctypes.data, 0, len(values), ROW, None
    )
    assert written == out.size, (kind, written)
    back = gguf.dequantize(out.reshape(len(values), -1), kind)
    off = np.abs(back - values).max() / np.abs(values).max()
    assert off < 0.1, (kind, off)
    return out


def main():
    values = rows()
    tensors = {"values": values}
    for kind in SMALL:
        data = gguf.quantize(values, kind)
        tensors[kind.name] = np.ascontiguousarray(data).view(np.uint8).reshape(-1)
    ggml = library()
    for kind in SEARCHED:
        tensors[kind.name] = searched(ggml, kind, values)
    FOLDER.mkdir(parents=True, exist_ok=True)
    safetensors.numpy.save_file(tensors, FOLDER / "blocks.safetensors")


if __name__ == "__main__":
    main()
