//! One table for the tensor names of checkpoints: which prefix is added, what is dropped.
//!
//! Inside, every model uses the names of its Hugging Face class with a language-model head
//! (`GPT2LMHeadModel`, `LlamaForCausalLM`, …). Checkpoints saved from the headless class lack the
//! prefix, and old ones carry buffers that the model computes itself.

use llm_core::config::Family;

/// How the names of one family are normalised.
struct Rule {
    /// The name of the headless model inside the full one, with its dot.
    prefix: &'static str,
    /// First parts of names that stand inside the headless model.
    inner: &'static [&'static str],
    /// Buffers by the end of their name.
    dropped: &'static [&'static str],
}

/// `attn.bias` is GPT-2's causal mask, not the bias of a projection (`attn.c_attn.bias`).
const GPT2: Rule = Rule {
    prefix: "transformer.",
    inner: &["wte", "wpe", "h", "ln_f"],
    dropped: &[".attn.bias", ".attn.masked_bias"],
};

const LLAMA_LIKE: Rule = Rule {
    prefix: "model.",
    inner: &["embed_tokens", "layers", "norm"],
    dropped: &[".rotary_emb.inv_freq"],
};

fn rule(family: Family) -> &'static Rule {
    match family {
        Family::Gpt2 => &GPT2,
        Family::Llama | Family::Mistral | Family::Qwen2 | Family::Qwen3 => &LLAMA_LIKE,
    }
}

/// The model's name for the tensor that a checkpoint calls `name`; `None` for an unneeded buffer.
pub fn normalise(family: Family, name: &str) -> Option<String> {
    let rule = rule(family);
    if rule.dropped.iter().any(|end| name.ends_with(end)) {
        return None;
    }
    let first = name.split('.').next().unwrap_or(name);
    let prefix = if rule.inner.contains(&first) {
        rule.prefix
    } else {
        ""
    };
    Some(format!("{prefix}{name}"))
}

/// The token embedding, which a tied model uses as its head.
pub fn embedding(family: Family) -> String {
    let rule = rule(family);
    let name = if family == Family::Gpt2 {
        "wte"
    } else {
        "embed_tokens"
    };
    format!("{}{name}.weight", rule.prefix)
}

/// The head that an untied model stores and a tied one may repeat.
pub const HEAD: &str = "lm_head.weight";
