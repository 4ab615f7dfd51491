"""Writes crates/llm-core/tests/fixtures/lora: adapters on small random models, by PEFT.

    python tools/oracle/lora.py [--seed 2]

A case is a model as in logits.py, an adapter whose A and B (and with DoRA magnitudes) come from
formula.py under their PEFT file names, and by PEFT in float32: the model's logits, the output of
adapted projections for an input of the formula, and the merged weights of those projections. Logits
also in float64. With DoRA also the gradients of A, B and magnitudes for a loss that is the sum of the
output times numbers of the formula.
"""

import argparse
import warnings

import numpy as np
import peft
import torch

import configs
import fixtures
import formula
import reference

warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
MLP = ["gate_proj", "up_proj", "down_proj"]
# family, index of configs.case, rank, alpha, targets, options
ADAPTERS = [
    ("qwen3", 0, 16, 32, ["q_proj", "k_proj", "v_proj"]),
    ("qwen3", 1, 1, 1, ["q_proj", "v_proj"]),
    ("qwen3", 2, 4, 8, ATTENTION + MLP),
    ("qwen3", 3, 8, 20, ["o_proj", "down_proj"]),
    ("llama", 0, 8, 16, ["q_proj", "v_proj"]),
    ("llama", 1, 2, 6, ATTENTION),
    ("llama", 2, 3, 5, MLP),
    ("llama", 4, 16, 4, ATTENTION + MLP),
    ("mistral", 3, 4, 16, ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj"]),
    ("qwen2", 1, 6, 12, ["k_proj", "v_proj", "up_proj"]),
    ("gpt2", 2, 4, 8, ["c_attn"]),
    ("gpt2", 5, 5, 10, ["c_attn", "c_proj", "c_fc"]),
    ("qwen3", 4, 4, 8, ["q_proj", "v_proj", "down_proj"], {"use_rslora": True}),
    ("llama", 5, 9, 6, ATTENTION, {"use_rslora": True}),
    ("qwen3", 5, 4, 8, ATTENTION + MLP, {"use_dora": True}),
    ("qwen2", 2, 3, 9, ["q_proj", "k_proj", "up_proj"], {"use_dora": True}),
    ("mistral", 4, 2, 4, ["v_proj", "o_proj"], {"use_dora": True, "use_rslora": True}),
    ("gpt2", 4, 4, 8, ["c_attn", "c_proj", "c_fc"], {"use_dora": True}),
]
ROWS = 5  # of the input of a projection


def file_name(name):
    """The name of an adapter parameter in adapter_model.safetensors."""
    name = name.replace(".default.", ".")
    return name.removesuffix(".weight") if "lora_magnitude_vector" in name else name


def adapt(model, seed, rank, alpha, targets, options):
    """The PEFT model with A and B by formula; PEFT's own initial B = 0 would prove nothing."""
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules=list(targets),
        lora_dropout=0.0,
        fan_in_fan_out=model.config.model_type == "gpt2",
        **options,
    )
    adapted = peft.get_peft_model(model, config).eval()
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                values = formula.weight(seed, file_name(name), tuple(parameter.shape))
                parameter.copy_(torch.from_numpy(values))
    return adapted


def projections(adapted):
    """The adapted layers by the name that the base model gives them."""
    return {
        name.removeprefix("base_model.model."): module
        for name, module in adapted.named_modules()
        if isinstance(module, peft.tuners.lora.LoraLayer)
    }


def gradients(layer, x, seed, name):
    """The gradients of A, B and the magnitudes of `sum(y * c)`."""
    parts = {
        "A": layer.lora_A["default"].weight,
        "B": layer.lora_B["default"].weight,
        "m": layer.lora_magnitude_vector["default"].weight,
    }
    for part in parts.values():
        part.requires_grad_(True)
        part.grad = None
    y = layer(torch.from_numpy(x.reshape(1, ROWS, -1)))[0]
    c = formula.unit(seed, f"gradient/{name}", y.numel()).astype(np.float32)
    (y * torch.from_numpy(c.reshape(y.shape))).sum().backward()
    return {which: part.grad.numpy().copy() for which, part in parts.items()}


def one(adapter, seed):
    """A case and its tensors."""
    family, index, rank, alpha, targets, *options = adapter
    options = options[0] if options else {}
    case = configs.case(family, index, seed)
    case["name"] += f"-r{rank}" + "".join(f"-{name.removeprefix('use_')}" for name in options)
    name, config, ids = case["name"], case["config"], case["ids"]
    shapes = []

    def change(model):
        shapes.append(reference.shapes(model))
        return adapt(model, case["seed"], rank, alpha, targets, options)

    narrow, wide, adapted = reference.both(config, case["seed"], ids, change)
    plain = reference.run(reference.fill(reference.build(config), case["seed"]), ids)
    assert np.abs(narrow - plain).max() > 0.1, "the adapter changes nothing"
    case["positions"] = fixtures.positions(config, len(ids))
    case["tensors"] = shapes[0]
    case["lora"] = {"r": rank, "lora_alpha": alpha, "target_modules": targets, **options}
    tensors = {f"{name}.f32": narrow[case["positions"]], f"{name}.f64": wide[case["positions"]]}

    layers = projections(adapted)
    case["adapted"] = {layer: [m.in_features, m.out_features] for layer, m in layers.items()}
    case["checked"] = [sorted(layers)[0], sorted(layers)[-1]]
    for layer in case["checked"]:
        width = layers[layer].in_features
        x = formula.unit(case["seed"], f"input/{layer}", ROWS * width).astype(np.float32)
        with torch.no_grad():
            y = layers[layer](torch.from_numpy(x.reshape(1, ROWS, width)))[0]
        tensors[f"{name}.projection.{layer}"] = y.numpy()
        if options.get("use_dora"):
            for which, gradient in gradients(layers[layer], x, case["seed"], layer).items():
                tensors[f"{name}.gradient.{layer}.{which}"] = gradient
    adapted.merge_adapter()
    for layer in case["checked"]:
        merged = layers[layer].get_base_layer().weight.detach().numpy()
        tensors[f"{name}.merged.{layer}"] = np.ascontiguousarray(merged)
    return case, tensors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=2)
    args = parser.parse_args()
    cases, tensors, worst = [], {}, 0.0
    for adapter in ADAPTERS:
        case, found = one(adapter, args.seed)
        cases.append(case)
        tensors.update(found)
        name = case["name"]
        error = np.abs(found[f"{name}.f32"] - found[f"{name}.f64"]).max()
        size = np.abs(found[f"{name}.f64"]).max()
        worst = max(worst, float(error))
        print(f"{name:14} logits up to {size:.1f}, error of PEFT in f32 {error:.1e}")
    fixtures.write("lora", cases, tensors)
    print(f"PEFT's own float32 error against float64: {worst:.1e}")


if __name__ == "__main__":
    main()
