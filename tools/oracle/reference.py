"""Logits of transformers, in float32 as users see them and in float64 all the way down."""

import contextlib

import numpy as np
import torch
import transformers

import formula

SINGLE = torch.float32  # float64_everywhere() rebinds the name

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


@contextlib.contextmanager
def float64_everywhere():
    """Makes transformers' own casts to float32 (RMSNorm, softmax, rope) casts to float64.

    `model.double()` alone is not a float64 model: those casts would leave errors near 1e-7.
    """
    saved = (torch.float32, torch.float, torch.Tensor.float, torch.get_default_dtype())
    torch.set_default_dtype(torch.float64)
    torch.float32 = torch.float = torch.float64
    torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        torch.float32, torch.float, torch.Tensor.float = saved[:3]
        torch.set_default_dtype(saved[3])


def build(config, dtype=torch.float32):
    """An eager model of `config` (a config.json dictionary) with untouched random weights."""
    config = dict(config)
    made = transformers.AutoConfig.for_model(config.pop("model_type"), **config)
    return transformers.AutoModelForCausalLM.from_config(
        made, attn_implementation="eager", dtype=dtype
    ).eval()


def fill(model, seed):
    """Sets every parameter by the formula; a tied head is its embedding and is not listed."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = formula.weight(seed, name, tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(values))
    return model


def shapes(model):
    """Shapes by name, with the layers folded into one `*`."""
    found = {}
    for name, parameter in model.named_parameters():
        parts = ["*" if part.isdigit() else part for part in name.split(".")]
        found[".".join(parts)] = list(parameter.shape)
    return found


def run(model, ids):
    """Logits [T, V] as numpy, in the model's own type."""
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0].numpy()


@contextlib.contextmanager
def powers_rounded_once():
    """Makes `base ** tensor` the exact power rounded to float32; torch's is off by one bit in 1 %."""
    saved = torch.Tensor.__rpow__
    torch.Tensor.__rpow__ = lambda exponent, base: torch.pow(base, exponent.double()).to(SINGLE)
    try:
        yield
    finally:
        torch.Tensor.__rpow__ = saved


class SingleAngles(torch.nn.Module):
    """cos and sin in float64 of the angles that a float32 `rotary` computes in float32.

    The rounding of an angle belongs to the model: published weights were trained with it.
    """

    def __init__(self, rotary):
        super().__init__()
        with powers_rounded_once():
            same = type(rotary)(config=rotary.config)
        self.frequencies = same.inv_freq
        assert self.frequencies.dtype == SINGLE and same.attention_scaling == 1.0
        assert torch.allclose(self.frequencies, rotary.inv_freq, rtol=3e-7)

    def forward(self, _x, position_ids):
        angles = (position_ids[..., None].to(SINGLE) * self.frequencies).double()
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos(), angles.sin()


def both(config, seed, ids, change=lambda model: model):
    """Logits [T, V] in float32 and in float64, and the float32 model; `change` may wrap a model."""
    narrow = fill(build(config), seed)
    has_rope = hasattr(narrow, "model")  # GPT-2 has positions of its own
    angles = SingleAngles(narrow.model.rotary_emb) if has_rope else None
    with float64_everywhere():
        wide = fill(build(config, torch.float64), seed)
        if has_rope:
            wide.model.rotary_emb = angles
        wide = change(wide)
        outputs = []
        hooks = [m.register_forward_hook(lambda _m, _i, o: outputs.append(o)) for m in wide.modules()]
        high = run(wide, ids)
        for hook in hooks:
            hook.remove()
    for output in outputs:
        for tensor in output if isinstance(output, (tuple, list)) else (output,):
            assert not (isinstance(tensor, torch.Tensor) and tensor.dtype == SINGLE)
    assert high.dtype == np.float64
    narrow = change(narrow)
    return run(narrow, ids), high, narrow
