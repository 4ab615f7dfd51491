"""Random small configurations over the five families, as Hugging Face config.json dictionaries.

`case(family, index, seed)` walks the settings that matter most by `index` (heads per key-value
head 1, 2, 4; tied or not; head size equal to hidden / heads or not; window; rope scaling; biases)
and draws the sizes from `seed`, so twelve consecutive cases of a family cover every combination
that this project supports. Sizes are odd multiples on purpose: they leave tails in SIMD loops.
"""

import random

FAMILIES = ("gpt2", "llama", "mistral", "qwen2", "qwen3")
ARCHITECTURES = {
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}


def case(family, index, seed):
    """One configuration and its token ids: `{name, seed, config, ids}`."""
    rng = random.Random(f"{family}/{index}/{seed}")
    config = gpt2(rng, index) if family == "gpt2" else llama_like(family, rng, index)
    config = {"architectures": [ARCHITECTURES[family]], "model_type": family, **config}
    tokens = length(config, rng)
    ids = [rng.randrange(config["vocab_size"]) for _ in range(tokens)]
    return {"name": f"{family}-{index:02}", "seed": seed * 1000 + index, "config": config, "ids": ids}


def gpt2(rng, index):
    """GPT-2: learned positions, LayerNorm, both gelu variants, default and own inner width."""
    heads = (1, 2, 4)[index % 3]
    hidden = heads * rng.choice((8, 10, 12, 18))
    config = {
        "vocab_size": rng.randrange(41, 90),
        "n_positions": rng.randrange(40, 72),
        "n_embd": hidden,
        "n_layer": rng.choice((1, 2, 2, 3)),
        "n_head": heads,
        "activation_function": ("gelu_new", "gelu", "gelu_pytorch_tanh")[index // 2 % 3],
        "layer_norm_epsilon": rng.choice((1e-6, 1e-5, 1e-3, 1e-2)),
        "tie_word_embeddings": index % 2 == 0,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    if index % 4 == 3:
        config["n_inner"] = rng.choice((28, 50, 76))
    return config


def llama_like(family, rng, index):
    """Llama, Mistral, Qwen2 and Qwen3: RMSNorm, rope, grouped heads, SwiGLU."""
    group = (1, 2, 4)[index % 3]
    kv_heads = rng.choice((1, 2, 3)) if group < 4 else rng.choice((1, 2))
    heads = group * kv_heads
    even = rng.choice((8, 12, 14, 16))
    hidden = heads * even
    config = {
        "vocab_size": rng.randrange(41, 90),
        "hidden_size": hidden,
        "intermediate_size": rng.choice((36, 52, 70, 88)),
        "num_hidden_layers": rng.choice((1, 2, 2, 3)),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "hidden_act": "silu",
        "max_position_embeddings": rng.randrange(64, 100),
        "rms_norm_eps": rng.choice((1e-6, 1e-5, 1e-3, 1e-2)),
        "rope_theta": rng.choice((1000.0, 10000.0, 500000.0, 1000000.0)),
        "tie_word_embeddings": index % 2 == 0,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    # Qwen2 has no key for the head size.
    if family != "qwen2" and index // 2 % 2 == 1:
        config["head_dim"] = rng.choice([d for d in (6, 10, 18, 20, 24) if d != even])
    elif family == "qwen3":
        config["head_dim"] = even  # its default is 128, not hidden / heads
    if family == "mistral":
        config["sliding_window"] = None if index % 6 == 5 else rng.randrange(3, 20)
    if family == "llama":
        config["attention_bias"] = index % 4 == 1
        config["mlp_bias"] = index % 4 == 2
        if index % 3 != 0:
            config["rope_scaling"] = llama3_scaling(rng)
    if family == "qwen3":
        config["attention_bias"] = index % 4 == 3
    if family in ("qwen2", "qwen3") and index % 4 == 2:
        # The first layer reads everything, the later ones through a window.
        config["num_hidden_layers"] = 3
        config["use_sliding_window"] = True
        config["sliding_window"] = rng.randrange(3, 20)
        config["max_window_layers"] = 1
    return config


def llama3_scaling(rng):
    """Lengths so short that some frequencies are kept, some are blended and some are divided."""
    return {
        "rope_type": "llama3",
        "factor": rng.choice((2.0, 8.0, 32.0)),
        "low_freq_factor": 1.0,
        "high_freq_factor": rng.choice((2.0, 4.0)),
        "original_max_position_embeddings": rng.choice((16, 24, 32)),
    }


def length(config, rng):
    """A length past the window and past the original rope length, within the context."""
    context = config.get("n_positions") or config["max_position_embeddings"]
    scaling = config.get("rope_scaling") or {}
    floor = max(
        8,
        (config.get("sliding_window") or 0) + 5,
        scaling.get("original_max_position_embeddings", 0) + 5,
    )
    return rng.randrange(floor, min(context, floor + 32) + 1)
