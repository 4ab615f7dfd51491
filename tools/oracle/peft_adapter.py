"""Adapters against PEFT itself.

    python tools/oracle/peft_adapter.py write              writes crates/llm-store/tests/fixtures/peft_*
    python tools/oracle/peft_adapter.py check BASE ADAPTER  loads an adapter made here into PEFT

`check` fails when PEFT reports a missing or unexpected key, or when the adapter changes nothing.
"""

import pathlib
import sys
import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "crates/llm-store/tests/fixtures"


def llama():
    config = LlamaConfig(
        vocab_size=16, hidden_size=8, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=16,
    )
    return LlamaForCausalLM(config)


def gpt2():
    return GPT2LMHeadModel(GPT2Config(vocab_size=16, n_embd=8, n_layer=1, n_head=2, n_positions=16))


def fixtures():
    common = {"task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8}
    pattern = r"model\.layers\.(1\.self_attn\.k_proj|\d\.self_attn\.o_proj)"
    yield "peft_list", llama(), LoraConfig(target_modules=["q_proj", "v_proj"], lora_dropout=0.1, **common)
    yield "peft_pattern", llama(), LoraConfig(target_modules=pattern, use_rslora=True, **common)
    yield "peft_gpt2", gpt2(), LoraConfig(target_modules=["c_attn"], fan_in_fan_out=True, **common)
    yield "peft_dora", llama(), LoraConfig(target_modules=["q_proj", "v_proj"], use_dora=True, **common)


def write():
    for name, base, config in fixtures():
        torch.manual_seed(7)
        model = get_peft_model(base, config)
        for parameter in model.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.02)
        model.save_pretrained(FIXTURES / name)
        (FIXTURES / name / "README.md").unlink(missing_ok=True)


def check(base_folder, adapter_folder):
    base = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32).eval()
    ids = torch.arange(8).reshape(1, 8) % base.config.vocab_size
    with torch.no_grad():
        before = base(ids).logits
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # PEFT only warns about keys that do not fit
            model = PeftModel.from_pretrained(base, adapter_folder).eval()
        change = (model(ids).logits - before).abs().max().item()
    print(f"peft loads {adapter_folder}: largest change of a logit {change:.6f}")
    if not change > 0:
        sys.exit("the adapter changes nothing")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["write"]:
        write()
    elif sys.argv[1:2] == ["check"] and len(sys.argv) == 4:
        check(*sys.argv[2:])
    else:
        sys.exit(__doc__)
