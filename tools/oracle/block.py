"""Writes the fixture of llm_core::math::block: PyTorch's own TransformerEncoderLayer, and a Llama block.

    python tools/oracle/block.py        # from the repository root

`original` and `gpt2` are torch.nn.TransformerEncoderLayer with norm_first False (ReLU) and True
(GELU, tanh form), causal. PyTorch has no such layer for `llama` (RMS norm, SwiGLU, grouped heads, no
biases), so it is spelled out below with torch's own rms_norm and scaled_dot_product_attention.
Everything is f64. Each case has x, y, the gradient d_y of the output, the resulting gradient of x and
of every parameter, under the names that the Rust side gives its tensors.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F

OUT = Path("crates/llm-core/tests/fixtures/math/block.json")
T = 5
EPS = 1e-5
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
generator = torch.Generator().manual_seed(7)


def draw(*shape, std=1.0):
    """N(0, std²) draws rounded to three decimals, so that the file stays readable."""
    return (std * torch.randn(*shape, generator=generator)).mul(1e3).round().div(1e3)


def names(c, f, k=None):
    """Our tensors and their shapes; K·D channels of keys and values where k is given (no biases)."""
    kv = c if k is None else k
    shapes = {
        "attention.q": (c, c), "attention.k": (kv, c), "attention.v": (kv, c),
        "attention.o": (c, c), "mlp.up": (f, c), "mlp.down": (c, f),
    }
    if k is not None:
        shapes["mlp.gate"] = (f, c)
    out = {}
    for name, shape in shapes.items():
        out[f"{name}.weight"] = draw(*shape, std=shape[1] ** -0.5)
        if k is None:
            out[f"{name}.bias"] = draw(shape[0], std=0.3)
    for name in ["norm1", "norm2"]:
        out[f"{name}.weight"] = 1 + draw(c, std=0.3)
        if k is None:
            out[f"{name}.bias"] = draw(c, std=0.3)
    return out


def encoder_layer(p, c, f, heads, norm_first, activation):
    """Torch's layer with our numbers, and its gradients under our names."""
    layer = torch.nn.TransformerEncoderLayer(
        c, heads, f, dropout=0.0, activation=activation, norm_first=norm_first,
        batch_first=True, layer_norm_eps=EPS,
    )
    attention = layer.self_attn
    places = {
        "attention.o": attention.out_proj, "mlp.up": layer.linear1, "mlp.down": layer.linear2,
        "norm1": layer.norm1, "norm2": layer.norm2,
    }
    with torch.no_grad():
        for kind, packed in [("weight", attention.in_proj_weight), ("bias", attention.in_proj_bias)]:
            packed.copy_(torch.cat([p[f"attention.{part}.{kind}"] for part in "qkv"]))
            for name, module in places.items():
                getattr(module, kind).copy_(p[f"{name}.{kind}"])
    mask = torch.nn.Transformer.generate_square_subsequent_mask(T)

    def forward(x):
        return layer(x[None], src_mask=mask, is_causal=True)[0]

    def gradients():
        out = {}
        for kind, packed in [("weight", attention.in_proj_weight), ("bias", attention.in_proj_bias)]:
            for part, gradient in zip("qkv", packed.grad.chunk(3)):
                out[f"attention.{part}.{kind}"] = gradient
            for name, module in places.items():
                out[f"{name}.{kind}"] = getattr(module, kind).grad
        return out

    return forward, gradients


def llama_block(p, heads, kv_heads):
    """The same for a block of the Llama kind, without rotary positions."""
    p = {name: value.clone().requires_grad_() for name, value in p.items()}

    def attention(x):
        def split(part, n):
            return F.linear(x, p[f"attention.{part}.weight"]).view(T, n, -1).transpose(0, 1)[None]

        q, k, v = split("q", heads), split("k", kv_heads), split("v", kv_heads)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)[0]
        return F.linear(y.transpose(0, 1).reshape(T, -1), p["attention.o.weight"])

    def mlp(x):
        gate, up = F.linear(x, p["mlp.gate.weight"]), F.linear(x, p["mlp.up.weight"])
        return F.linear(F.silu(gate) * up, p["mlp.down.weight"])

    def norm(x, name):
        return F.rms_norm(x, (x.shape[-1],), p[f"{name}.weight"], EPS)

    def forward(x):
        x = x + attention(norm(x, "norm1"))
        return x + mlp(norm(x, "norm2"))

    return forward, lambda: {name: value.grad for name, value in p.items()}


def case(parameters, block, sizes):
    """One entry of the file."""
    forward, gradients = block
    x = draw(T, sizes["channels"]).requires_grad_()
    y = forward(x)
    d_y = draw(*y.shape)
    (y * d_y).sum().backward()
    out = {"x": x, "y": y, "d_y": d_y, "d_x": x.grad}
    out |= parameters
    out |= {f"d_{name}": value for name, value in gradients().items()}
    return {"sizes": sizes} | {name: flat(value) for name, value in out.items()}


def flat(value):
    """Row-major numbers with their shape."""
    value = value.detach()
    return {"shape": list(value.shape), "values": value.reshape(-1).tolist()}


def main():
    """Draws the cases in a fixed order and writes them."""
    cases = {}
    activations = {"original": F.relu, "gpt2": lambda x: F.gelu(x, approximate="tanh")}
    for name, activation in activations.items():
        sizes = {"channels": 6, "heads": 3, "kv_heads": 3, "inner": 10}
        parameters = names(6, 10)
        block = encoder_layer(parameters, 6, 10, 3, name == "gpt2", activation)
        cases[name] = case(parameters, block, sizes)
    sizes = {"channels": 8, "heads": 4, "kv_heads": 2, "inner": 10}
    parameters = names(8, 10, k=4)
    cases["llama"] = case(parameters, llama_block(parameters, 4, 2), sizes)

    lines = [f'"versions": {json.dumps({"torch": torch.__version__})}']
    for name, entries in cases.items():
        body = ",\n".join(f'  "{key}": {json.dumps(value)}' for key, value in entries.items())
        lines.append(f'"{name}": {{\n{body}\n}}')
    OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(OUT, OUT.stat().st_size)


if __name__ == "__main__":
    main()
