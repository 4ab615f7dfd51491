//! `adapter_config.json`: what is used, what must be neutral, what is ignored.

use std::collections::BTreeMap;
use std::path::Path;

use llm_core::config::Family;
use llm_core::lora::LoraConfig;
use serde_json::{Value, json};

use crate::error::printable;
use crate::files::unique_keys;
use crate::{Error, Result};

/// Keys of PEFT's LoRA that change the arithmetic in a way this code does not have. They may be
/// absent, null, false, empty, or the one value named here.
const MUST_BE_NEUTRAL: [(&str, &str); 18] = [
    ("alora_invocation_tokens", ""),
    ("alpha_pattern", ""),
    ("arrow_config", ""),
    ("bias", "none"),
    ("kasa_config", ""),
    ("layer_replication", ""),
    ("layers_pattern", ""),
    ("layers_to_transform", ""),
    ("lora_bias", ""),
    ("megatron_config", ""),
    ("modules_to_save", ""),
    ("monteclora_config", ""),
    ("rank_pattern", ""),
    ("target_parameters", ""),
    ("trainable_token_indices", ""),
    ("use_bdlora", ""),
    ("use_qalora", ""),
    ("velora_config", ""),
];

/// Initialisations that leave the base weights alone, so that the saved adapter means the same on
/// the untouched base. The others (`pissa`, `olora`, `loftq`, …) move part of the base into it.
const PLAIN_INITIALISATIONS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// A rank beyond any adapter's: more is a mistake.
const MAX_RANK: u64 = 1 << 16;

/// What `adapter_config.json` says, as far as it is used here.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterConfig {
    /// The model that was adapted: a hub id or folder.
    pub base_model_name_or_path: Option<String>,
    /// Rank, scale, dropout and targets under PEFT's names.
    pub lora: LoraConfig,
    /// Whether the base stores its weights as `[in, out]` (GPT-2); A and B do not change.
    pub fan_in_fan_out: bool,
    /// What the model is for; `CAUSAL_LM` here.
    pub task_type: Option<String>,
}

impl AdapterConfig {
    /// The configuration of an adapter that was trained here on `base`.
    pub fn of(lora: &LoraConfig, base: &str, family: Family) -> Self {
        Self {
            base_model_name_or_path: Some(base.into()),
            lora: lora.clone(),
            fan_in_fan_out: family == Family::Gpt2,
            task_type: Some("CAUSAL_LM".into()),
        }
    }

    /// Parses the text of `path`.
    ///
    /// `target_modules` is empty where the file gives a pattern (a regular expression over whole
    /// paths) or takes modules out with `exclude_modules`: the tensors' names say what was meant.
    ///
    /// # Errors
    /// Not JSON, another adapter type than LoRA, a value out of its range, or a feature that
    /// changes the arithmetic and is not here.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self> {
        let keys = Keys::parse(path, text)?;
        keys.refuse_other_arithmetic()?;
        let lora = LoraConfig {
            r: keys.rank()?,
            lora_alpha: keys.number("lora_alpha", 8.0, |alpha| alpha > 0.0, "above 0")?,
            lora_dropout: keys.number(
                "lora_dropout",
                0.0,
                |p| (0.0..1.0).contains(&p),
                "in [0, 1)",
            )?,
            target_modules: keys.targets()?,
            use_rslora: keys.flag("use_rslora")?,
            use_dora: keys.flag("use_dora")?,
        };
        Ok(Self {
            base_model_name_or_path: keys.text("base_model_name_or_path")?,
            lora,
            fan_in_fan_out: keys.flag("fan_in_fan_out")?,
            task_type: keys.text("task_type")?,
        })
    }

    /// Whether the module at this path is a target, by PEFT's rule for names.
    pub fn covers(&self, module: &str) -> bool {
        self.lora.target_modules.iter().any(|name| {
            let rest = module.strip_suffix(name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }

    /// The file's text, with the keys that PEFT itself writes.
    pub fn to_json(&self) -> String {
        // PEFT declares lora_alpha as an integer and prints it as one
        let whole = self.lora.lora_alpha.fract() == 0.0 && self.lora.lora_alpha.abs() < 1e15;
        let lora_alpha = if whole {
            json!(self.lora.lora_alpha as i64)
        } else {
            json!(self.lora.lora_alpha)
        };
        let value = json!({
            "alpha_pattern": {},
            "auto_mapping": null,
            "base_model_name_or_path": self.base_model_name_or_path,
            "bias": "none",
            "fan_in_fan_out": self.fan_in_fan_out,
            "inference_mode": true,
            "init_lora_weights": true,
            "layers_pattern": null,
            "layers_to_transform": null,
            "lora_alpha": lora_alpha,
            "lora_dropout": self.lora.lora_dropout,
            "modules_to_save": null,
            "peft_type": "LORA",
            "r": self.lora.r,
            "rank_pattern": {},
            "revision": null,
            "target_modules": self.lora.target_modules,
            "task_type": self.task_type,
            "use_dora": self.lora.use_dora,
            "use_rslora": self.lora.use_rslora,
        });
        format!("{value:#}\n")
    }
}

/// The parsed object, with the file's name for messages.
pub(super) struct Keys<'a> {
    path: &'a Path,
    keys: BTreeMap<String, Value>,
}

impl<'a> Keys<'a> {
    /// Parses the text of `path`.
    pub(super) fn parse(path: &'a Path, text: &str) -> Result<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let parsed = unique_keys::<_, Value>(&mut deserializer);
        let keys = parsed
            .and_then(|keys| deserializer.end().map(|()| keys))
            .map_err(|error| {
                Error::malformed(
                    path,
                    format!(
                        "is not an adapter's configuration: {}",
                        printable(&error.to_string())
                    ),
                )
            })?;
        Ok(Self { path, keys })
    }

    /// The value of a key; null where it is absent.
    pub(super) fn get(&self, key: &str) -> &Value {
        self.keys.get(key).unwrap_or(&Value::Null)
    }

    /// A value that cannot be.
    pub(super) fn bad(&self, key: &str, expected: &str) -> Error {
        let value = printable(&self.get(key).to_string());
        Error::malformed(
            self.path,
            format!("`{key}` is {value}, expected {expected}"),
        )
    }

    /// A value that asks for what is not here.
    pub(super) fn unsupported(&self, key: &str) -> Error {
        let value = printable(&self.get(key).to_string());
        Error::Unsupported {
            path: self.path.to_path_buf(),
            key: key.into(),
            value,
        }
    }

    fn refuse_other_arithmetic(&self) -> Result<()> {
        if self.get("peft_type") != "LORA" {
            return Err(self.unsupported("peft_type"));
        }
        for (key, neutral) in MUST_BE_NEUTRAL {
            if !is_neutral(self.get(key), neutral) {
                return Err(self.unsupported(key));
            }
        }
        match self.get("init_lora_weights") {
            Value::Null | Value::Bool(_) => Ok(()),
            Value::String(name) if PLAIN_INITIALISATIONS.contains(&name.as_str()) => Ok(()),
            _ => Err(self.unsupported("init_lora_weights")),
        }
    }

    /// A text, if there is one.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>> {
        match self.get(key) {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text.clone())),
            _ => Err(self.bad(key, "text")),
        }
    }

    fn flag(&self, key: &str) -> Result<bool> {
        match self.get(key) {
            Value::Null => Ok(false),
            Value::Bool(flag) => Ok(*flag),
            _ => Err(self.bad(key, "true or false")),
        }
    }

    /// A number, or PEFT's default where the key is absent.
    fn number(&self, key: &str, default: f64, ok: fn(f64) -> bool, range: &str) -> Result<f64> {
        match self.get(key) {
            Value::Null => Ok(default),
            value => value
                .as_f64()
                .filter(|&number| ok(number))
                .ok_or_else(|| self.bad(key, range)),
        }
    }

    fn rank(&self) -> Result<usize> {
        let rank = self
            .get("r")
            .as_u64()
            .filter(|rank| (1..=MAX_RANK).contains(rank));
        rank.map(|rank| rank as usize)
            .ok_or_else(|| self.bad("r", "a rank of at least 1"))
    }

    fn targets(&self) -> Result<Vec<String>> {
        let bad = || self.bad("target_modules", "a list of module names or a pattern");
        let excludes = !is_neutral(self.get("exclude_modules"), "");
        match self.get("target_modules") {
            Value::String(_) => Ok(Vec::new()),
            Value::Array(names) if !names.is_empty() => {
                let names = names.iter().map(|name| name.as_str().map(String::from));
                let names = names.collect::<Option<Vec<_>>>().ok_or_else(bad)?;
                Ok(if excludes { Vec::new() } else { names })
            }
            _ => Err(bad()),
        }
    }
}

/// Whether a value asks for nothing.
fn is_neutral(value: &Value, neutral: &str) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text == neutral,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    }
}
