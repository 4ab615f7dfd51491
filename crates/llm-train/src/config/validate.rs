//! Which settings can be.

use std::ops::RangeInclusive;

use super::{Method, TrainConfig, Trained};
use crate::batching::Batching;
use crate::data::DataFormat;
use crate::{Error, Result};

fn bad<T>(key: &str, problem: impl Into<String>) -> Result<T> {
    Err(Error::input(format!("`{key}`"), problem))
}

impl TrainConfig {
    /// Fails on settings that cannot be, or that contradict each other.
    ///
    /// # Errors
    /// The first key that is out of range, with the range.
    pub fn validate(&self) -> Result<()> {
        self.validate_choices()?;
        let counts = [
            ("batch_size", self.batch_size as u64),
            (
                "gradient_accumulation_steps",
                self.gradient_accumulation_steps as u64,
            ),
            ("epochs", self.epochs),
            ("logging_steps", self.logging_steps),
            ("max_steps", self.max_steps.unwrap_or(1)),
            ("stop_after", self.stop_after.unwrap_or(1)),
            ("pad_to_multiple_of", self.pad_to_multiple_of as u64),
            ("num_virtual_tokens", self.num_virtual_tokens as u64),
            ("num_iterations", self.num_iterations),
            ("max_completion_length", self.max_completion_length as u64),
        ];
        const MOST: u64 = 1 << 30; // products of two stay inside 64 bits
        if let Some((key, value)) = counts.iter().find(|(_, n)| !(1..=MOST).contains(n)) {
            return bad(key, format!("is {value}, expected 1 to {MOST}"));
        }
        if self.max_length < 2 || self.max_length > 1 << 24 {
            return bad("max_length", "expected 2 to 16777216 tokens");
        }
        if let Some((key, value, range)) = self
            .reals()
            .into_iter()
            .find(|(_, value, range)| !range.contains(value))
        {
            let (low, high) = (range.start(), range.end());
            return bad(key, format!("is {value}, expected {low:e} to {high}"));
        }
        if self.trains_adapter() {
            self.lora().validate()?;
        }
        self.validate_samples()?;
        self.validate_method()?;
        match &self.sweep {
            Some(_) => crate::sweep::cells(self).map(|_| ()),
            None => Ok(()),
        }
    }

    /// What a method needs, and what it has no place for.
    fn validate_method(&self) -> Result<()> {
        const MOST_GENERATIONS: usize = 1 << 12;
        let aligned = !self.learns_tokens();
        if self.model_config.is_some() && (aligned || self.method == Method::Prompt) {
            let problem = "makes a new model, expected `model_name`: this method starts from a \
                           model that can already answer";
            return bad("model_config", problem);
        }
        let packed = self.trained() == Trained::Prompt && self.batching == Batching::Packed;
        let grouped = aligned && !matches!(self.batching, Batching::Dynamic | Batching::Fixed);
        if packed || grouped || (self.method == Method::Grpo && self.batching != Batching::Dynamic)
        {
            return bad("batching", "is not possible with this method; `dynamic` is");
        }
        if aligned && self.data_format == DataFormat::Text {
            return bad("data_format", "is text, which has no answers to compare");
        }
        if aligned && self.shuffle_answers {
            return bad("shuffle_answers", "is for the methods that learn tokens");
        }
        if self.method == Method::Grpo && !(2..=MOST_GENERATIONS).contains(&self.num_generations) {
            let problem = format!(
                "is {}, expected 2 to {MOST_GENERATIONS}: answers are compared within a group",
                self.num_generations
            );
            return bad("num_generations", problem);
        }
        if self.method == Method::Dpo && self.dpo().beta == 0.0 {
            return bad("beta", "is 0, which makes every answer as good as another");
        }
        Ok(())
    }

    fn validate_samples(&self) -> Result<()> {
        const MOST_TOKENS: usize = 1 << 20;
        if self.sample_steps > 0 && self.sample_prompts.is_empty() {
            return bad("sample_steps", "needs `sample_prompts`");
        }
        if !(1..=MOST_TOKENS).contains(&self.sample_tokens) {
            return bad("sample_tokens", format!("expected 1 to {MOST_TOKENS}"));
        }
        Ok(())
    }

    fn reals(&self) -> [(&'static str, f64, RangeInclusive<f64>); 15] {
        const LEAST: f64 = f64::MIN_POSITIVE;
        let high = self.epsilon_high.unwrap_or(self.epsilon);
        [
            ("beta", self.beta.unwrap_or_default(), 0.0..=1e3),
            ("label_smoothing", self.label_smoothing, 0.0..=0.499),
            ("temperature", self.temperature, 1e-3..=100.0),
            ("epsilon", self.epsilon, 0.0..=0.999),
            ("epsilon_high", high, 0.0..=1e3),
            ("lr", self.lr, LEAST..=1e3),
            ("validation_fraction", self.validation_fraction, 0.0..=0.9),
            ("warmup_ratio", self.warmup_ratio, 0.0..=1.0),
            ("weight_decay", self.weight_decay, 0.0..=1e3),
            ("min_lr_ratio", self.min_lr_ratio, 0.0..=1.0),
            ("max_grad_norm", self.max_grad_norm, 0.0..=1e9),
            ("adam_beta1", self.adam_beta1, 0.0..=0.999_999),
            ("adam_beta2", self.adam_beta2, 0.0..=0.999_999_9),
            ("adam_epsilon", self.adam_epsilon, LEAST..=1.0),
            ("lora_dropout", self.lora_dropout, 0.0..=0.99),
        ]
    }

    fn validate_choices(&self) -> Result<()> {
        match (&self.model_name, &self.model_config) {
            (None, None) => return bad("model_name", "is not set, expected a folder or hub id"),
            (Some(_), Some(_)) => {
                return bad(
                    "model_config",
                    "and `model_name` are both set, expected one",
                );
            }
            (None, Some(_)) if self.tokenizer.is_none() => {
                return bad(
                    "tokenizer",
                    "is not set, expected a folder with tokenizer.json",
                );
            }
            _ => {}
        }
        if self.shuffle_answers && self.data_format == DataFormat::Text {
            return bad("shuffle_answers", "is for rows with answers, not for text");
        }
        if self.bf16 && self.fp16 {
            return bad("bf16", "and `fp16` are both true, expected one");
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let name = &self.run_name;
        if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
            return bad("run_name", "expected letters, digits, `-`, `_` and `.`");
        }
        if self.early_stopping_patience.is_some() && self.eval_steps == 0 {
            return bad("early_stopping_patience", "needs `eval_steps` above 0");
        }
        Ok(())
    }
}
