"""Our GGUF files in llama.cpp.

    python tools/oracle/gguf_check.py [--deeper D] [--model FOLDER] [--random]

Exports FOLDER in every type with `deeper export gguf`. For each file: the package `gguf` reads it and
its weights are near the folder's; llama.cpp (llama-cpp-python) loads it, cuts texts into the same
tokens as tokenizers, and its mean loss on a text is printed beside that of F32. Files of fewer bits
hold the types and bytes that llama.cpp's quantizer makes of our F32 file. At F16, 20 prompts
are continued greedily by 64 tokens and compared with ours on the same weights (the folder rounded
to F16); a first difference counts when the two best logits are more than 1e-4 apart.

With --random the same loading and losses for models of random weights with rows of 256, one of each
family, the Llama with a SentencePiece tokenizer made here. Exits with 1 when something is off.
"""

import argparse
import ctypes
import json
import pathlib
import subprocess
import sys
import tempfile

import gguf
import llama_cpp
import numpy as np
import safetensors.numpy
import safetensors.torch
import tokenizers

ROOT = pathlib.Path(__file__).parents[2]
TYPES = ["F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0"]
# The largest error of a weight as a share of the largest of its tensor
OFF = {"F32": 0, "F16": 1e-3, "BF16": 8e-3, "Q8_0": 1e-2, "Q6_K": 4e-2, "Q5_K_M": 9e-2}
WORST = 0.15
TOKENS = 64
TIE = 1e-4
TEXTS = [
    "The cat sat on the mat, and it's 12 o'clock.",
    "  two  spaces\n\nand lines\t!",
    "Über naïve café — déjà vu 東京 🙂",
    "def f(x):\n    return x**2 + 3.14  # don't",
]


def run(deeper, *words):
    command = [str(deeper), *map(str, words), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    return done.stdout


def load(path, context):
    return llama_cpp.Llama(
        str(path),
        n_ctx=context,
        n_batch=context,
        logits_all=True,
        type_k=llama_cpp.GGML_TYPE_F32,
        type_v=llama_cpp.GGML_TYPE_F32,
        flash_attn=False,
        verbose=False,
    )


def weights(path):
    """Every tensor of a GGUF file in f32, by its name."""
    reader = gguf.GGUFReader(path)
    return {t.name: gguf.dequantize(t.data, t.tensor_type) for t in reader.tensors}


def loss(model, ids):
    """Mean loss of each token after the first, in nats."""
    model.reset()
    model.eval(ids)
    logits = np.array(model.scores[: len(ids)], dtype=np.float64)
    top = logits.max(-1, keepdims=True)
    log_sum = np.log(np.exp(logits - top).sum(-1)) + top[:, 0]
    return float(np.mean(log_sum[:-1] - logits[np.arange(len(ids) - 1), ids[1:]]))


def check_types(deeper, folder, work, text):
    """All types of one folder; whether they are fine."""
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    # SentencePiece and llama.cpp put a space before a text that starts with one, Metaspace does not
    metaspace = "Metaspace" in (folder / "tokenizer.json").read_text()
    texts = [t.lstrip() for t in TEXTS] if metaspace else TEXTS
    context = json.loads((folder / "config.json").read_text())
    context = context.get("max_position_embeddings") or context["n_positions"]
    ids = tokenizer.encode(text, add_special_tokens=False).ids[:context]
    fine, exact, base = True, None, None
    for kind in TYPES:
        path = work / f"{kind}.gguf"
        run(deeper, "export", "gguf", "--model", folder, "--quant", kind, "--out", path)
        found = weights(path)
        exact = exact or found
        off = max(
            float(np.abs(found[n] - w).max() / (np.abs(w).max() or 1)) for n, w in exact.items()
        )
        model = load(path, context)
        same = all(
            model.tokenize(t.encode(), add_bos=False, special=False)
            == tokenizer.encode(t, add_special_tokens=False).ids
            for t in texts
        )
        nats = loss(model, ids)
        base = nats if base is None else base
        good = off <= OFF.get(kind, WORST) and same and np.isfinite(nats)
        fine &= bool(good)
        types = gguf.GGUFReader(path).tensors
        names = sorted({t.tensor_type.name for t in types if t.n_elements > 4096})
        print(
            f"{kind:7} {path.stat().st_size:10,} bytes  weights off {off:.1e}  "
            f"loss {nats:.5f} ({100 * (np.exp(nats - base) - 1):+.3f} % perplexity)  "
            f"tokens {'same' if same else 'DIFFER'}  {'/'.join(names)}"
        )
    return fine


def check_quantize(work):
    """Our files of fewer bits against llama.cpp's own, made from our F32 file."""
    fine = True
    for kind in ["Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0"]:
        params = llama_cpp.llama_model_quantize_default_params()
        params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
        theirs = work / f"theirs-{kind}.gguf"
        code = llama_cpp.llama_model_quantize(
            str(work / "F32.gguf").encode(), str(theirs).encode(), ctypes.byref(params)
        )
        assert code == 0, kind
        ours = {t.name: t for t in gguf.GGUFReader(work / f"{kind}.gguf").tensors}
        same = types = 0
        tensors = gguf.GGUFReader(theirs).tensors
        for tensor in tensors:
            own = ours.pop(tensor.name)
            types += own.tensor_type == tensor.tensor_type
            same += np.array_equal(own.data, tensor.data)
        total = len(tensors)
        fine &= not ours and types == same == total
        print(f"{kind:7} by llama.cpp: {types} types and {same} of {total} tensors are equal")
    return bool(fine)


def rounded(folder, work):
    """The folder with its weights rounded to F16, which F16 in a GGUF file is."""
    copy = work / "rounded"
    copy.mkdir()
    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (copy / file.name).write_bytes(file.read_bytes())
    # NumPy has no bf16
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    matrix = {n: (t.half() if t.ndim > 1 else t.float()) for n, t in tensors.items()}
    safetensors.torch.save_file(matrix, copy / "model.safetensors", {"format": "pt"})
    return copy


def prompts(count):
    """Questions of the bundled set and starts of its texts."""
    lines = (ROOT / "data/medical/heldout.jsonl").read_text().splitlines()
    asked = [json.loads(line)["prompt"] for line in lines]
    words = (ROOT / "data/base/train.txt").read_text().split()
    starts = [" ".join(words[i : i + 5]) for i in range(100, len(words), len(words) // count)]
    return asked[: count // 2] + [s for s in starts if "<|" not in s][: count - count // 2]


def greedy(model, ids):
    """The best tokens one by one, past every end."""
    model.reset()
    model.eval(ids)
    out = []
    for _ in range(TOKENS):
        out.append(int(np.argmax(model.scores[model.n_tokens - 1])))
        model.eval(out[-1:])
    return out


def check_greedy(deeper, folder, work):
    """20 prompts at F16, 64 tokens each; whether nothing but ties differs.

    All 64 are compared through `deeper logits` over prompt and continuation: greedy continuations
    are the same when the best token is at each place. `deeper generate`, which stops at an end, has to
    write the same text up to there.
    """
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    copy = rounded(folder, work)
    generation = json.loads((folder / "generation_config.json").read_text())
    stops = np.atleast_1d(generation["eos_token_id"]).tolist()
    model = load(work / "F16.gguf", 256)
    same = texts = counted = 0
    narrowest = np.inf
    for prompt in prompts(20):
        ids = tokenizer.encode(prompt, add_special_tokens=False).ids
        theirs = greedy(model, ids)
        out = work / "logits.safetensors"
        both = ",".join(map(str, ids + theirs))
        run(deeper, "logits", "--model", copy, "--ids", both, "--out", out)
        logits = safetensors.numpy.load_file(out)["logits"][len(ids) - 1 : -1]
        gaps = np.diff(np.sort(logits)[:, -2:])[:, 0]
        narrowest = min(narrowest, gaps.min())
        wrong = [i for i, token in enumerate(theirs) if int(np.argmax(logits[i])) != token]
        same += not wrong
        if wrong:
            counted += gaps[wrong[0]] > TIE
            print(f"differs at token {wrong[0]}, two best {gaps[wrong[0]]:.2e} apart: {prompt!r}")
        end = next((i for i, token in enumerate(theirs) if token in stops), TOKENS)
        command = ["generate", "--model", copy, "--prompt", prompt, "--max-new-tokens", TOKENS]
        ours = run(deeper, *command).removesuffix("\n")
        texts += ours == tokenizer.decode(theirs[:end])
    print(
        f"greedy at F16: {same} of 20 continuations of {TOKENS} tokens equal, {texts} of 20 texts of "
        f"deeper generate, {counted} differences count; the narrowest choice is {narrowest:.1e}"
    )
    return counted == 0 and (texts == 20 or same < 20)


def byte_level(folder):
    """deeper-base's tokenizer beside a random model."""
    for name in ["tokenizer.json", "tokenizer_config.json"]:
        (folder / name).write_bytes((ROOT / "output_models/deeper-base" / name).read_bytes())


def pieces(folder, work):
    """A SentencePiece BPE model of our own text, as transformers converts it."""
    import sentencepiece
    from transformers import LlamaTokenizer

    source = ROOT / "data/base/train.txt"
    sentencepiece.SentencePieceTrainer.train(
        input=str(source),
        model_prefix=str(work / "pieces"),
        vocab_size=2048,
        model_type="bpe",
        byte_fallback=True,
        minloglevel=2,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        split_digits=True,
        allow_whitespace_only_pieces=True,
    )
    LlamaTokenizer.from_pretrained(work, vocab_file=str(work / "pieces.model")).save_pretrained(
        folder
    )


def random_models(deeper, work, text):
    """One model of each family with rows of 256; whether all are fine."""
    import torch
    import transformers as t

    sizes = {
        "vocab_size": 2048,
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
    }
    gpt2 = {"vocab_size": 2048, "n_embd": 256, "n_layer": 4, "n_head": 4, "n_positions": 256}
    gpt2 |= {"bos_token_id": 2047, "eos_token_id": 2047}
    scaling = {
        "rope_type": "llama3",
        "rope_theta": 1e4,
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    cases = {
        "qwen3": t.Qwen3Config(**sizes, head_dim=64, tie_word_embeddings=True),
        "qwen2": t.Qwen2Config(**sizes, tie_word_embeddings=True),
        "mistral": t.MistralConfig(**sizes, sliding_window=None),
        "llama": t.LlamaConfig(**sizes, rope_parameters=scaling),
        "gpt2": t.GPT2Config(**gpt2),
    }
    fine = True
    for name, config in cases.items():
        torch.manual_seed(3)
        config.initializer_range = 0.1
        model = t.AutoModelForCausalLM.from_config(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 1:
                    parameter.add_(0.1 * torch.randn_like(parameter))
        place = work / name
        model.save_pretrained(place)
        pieces(place, work) if name == "llama" else byte_level(place)
        print(f"\n{name}, random weights, rows of 256")
        out = work / f"{name}-files"
        out.mkdir()
        fine &= check_types(deeper, place, out, text)
        fine &= check_quantize(out)
        fine &= check_logits(model, place, out)
    return fine


def check_logits(model, folder, work):
    """The F32 file against transformers."""
    import torch

    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = tokenizer.encode(TEXTS[0], add_special_tokens=False).ids
    with torch.no_grad():
        want = model(torch.tensor([ids])).logits[0].numpy()
    ours = load(work / "F32.gguf", 256)
    ours.eval(ids)
    off = float(np.abs(np.array(ours.scores[: len(ids)]) - want).max())
    # ggml's GELU is a table in F16
    limit = 2e-2 if model.config.model_type == "gpt2" else 2e-3
    print(f"F32 against transformers: logits off {off:.1e} of {np.abs(want).max():.1f}")
    return off <= limit * max(1.0, float(np.abs(want).max()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--deeper", type=pathlib.Path, default=ROOT / "target/release/deeper")
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "output_models/deeper-base")
    parser.add_argument("--random", action="store_true")
    args = parser.parse_args()
    text = (ROOT / "data/base/train.txt").read_text()[:1200]
    with tempfile.TemporaryDirectory(prefix="gguf-") as temporary:
        work = pathlib.Path(temporary)
        if args.random:
            fine = random_models(args.deeper, work, text)
        else:
            print(args.model.name)
            fine = check_types(args.deeper, args.model, work, text)
            fine &= check_quantize(work)
            fine &= check_greedy(args.deeper, args.model, work)
    print("ok" if fine else "FAILED")
    sys.exit(not fine)


if __name__ == "__main__":
    main()
