"""Soft prompts against PEFT.

    python tools/oracle/peft_prompt.py write                writes the fixtures
    python tools/oracle/peft_prompt.py check BASE PROMPT     loads a prompt made here into PEFT

`write` makes crates/llm-store/tests/fixtures/peft_prompt, a folder as PEFT saves it, and
crates/llm-core/tests/fixtures/prompt: small random models with vectors before their text, and their
logits by PEFT in float32 and in float64. `check` fails when PEFT reports a missing or unexpected key,
or when the prompt changes nothing.
"""

import pathlib
import sys
import warnings

import numpy as np
import peft
import torch
from peft import PeftModel, PromptTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM

import configs
import fixtures
import formula
import reference

STORE = pathlib.Path(__file__).resolve().parents[2] / "crates/llm-store/tests/fixtures/peft_prompt"
NAME = "prompt_embeddings"
# family, index of configs.case, virtual tokens
PROMPTS = [("qwen3", 0, 3), ("qwen3", 3, 1), ("llama", 1, 5), ("mistral", 3, 2), ("qwen2", 2, 7), ("gpt2", 2, 4)]
SEED = 2
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")
MOST_IDS = 24  # the prompt has to fit into the context too


def prompted(model, seed, count):
    """The PEFT model with a prompt by formula."""
    model = get_peft_model(model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=count)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                assert name.endswith("embedding.weight"), name
                parameter.copy_(torch.from_numpy(formula.weight(seed, NAME, tuple(parameter.shape))))
    return model


def logits(model, ids, count):
    """PEFT gives the logits of the virtual tokens too; the text's are behind them."""
    return reference.run(model, ids)[count:]


def one(family, index, count):
    case = configs.case(family, index, SEED)
    ids = case["ids"] = case["ids"][:MOST_IDS]
    config, seed, name = case["config"], case["seed"], case["name"]
    shapes = []

    def change(model):
        shapes.append(reference.shapes(model))
        return prompted(model, seed, count)

    narrow, wide, _ = reference.both(config, seed, ids, change)
    narrow, wide = narrow[count:], wide[count:]
    plain = reference.run(reference.fill(reference.build(config), seed), ids)
    assert np.abs(narrow - plain).max() > 0.1, "the prompt changes nothing"
    case["positions"] = fixtures.positions(config, len(ids))
    case["tensors"] = shapes[0]
    tensors = {f"{name}.virtual_tokens": np.array([count]), f"{name}.f32": narrow[case["positions"]], f"{name}.f64": wide[case["positions"]]}
    print(f"{name:12} {count} virtual tokens, logits up to {np.abs(wide).max():.1f}, "
          f"error of PEFT in f32 {np.abs(narrow - wide).max():.1e}")
    return case, tensors


def write():
    cases, tensors = [], {}
    for prompt in PROMPTS:
        case, found = one(*prompt)
        cases.append(case)
        tensors.update(found)
    fixtures.write("prompt", cases, tensors)
    config = configs.case("llama", 0, SEED)["config"]
    prompted(reference.build(config), SEED, 3).save_pretrained(STORE)
    (STORE / "README.md").unlink(missing_ok=True)


def check(base_folder, prompt_folder):
    base = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32).eval()
    ids = torch.arange(8).reshape(1, 8) % base.config.vocab_size
    with torch.no_grad():
        before = base(ids).logits
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # PEFT only warns about keys that do not fit
            warnings.simplefilter("ignore", FutureWarning)
            model = PeftModel.from_pretrained(base, prompt_folder).eval()
        count = model.active_peft_config.num_virtual_tokens
        change = (model(ids).logits[:, count:] - before).abs().max().item()
    print(f"peft {peft.__version__} loads {prompt_folder}: largest change of a logit {change:.6f}")
    if not change > 0:
        sys.exit("the prompt changes nothing")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["write"]:
        write()
    elif sys.argv[1:2] == ["check"] and len(sys.argv) == 4:
        check(*sys.argv[2:])
    else:
        sys.exit(__doc__)
