//! What a run says on the way: the model's answers to fixed prompts, rows of the log.

use super::Session;
use crate::data::{DataFormat, Message};
use crate::evaluate::greedy;
use crate::observe::{Callback, Event, LogRow, Sample};
use crate::{Error, Result};

impl Session {
    /// The token ids of the fixed prompts, as generation reads them.
    ///
    /// # Errors
    /// A prompt without tokens, or one that fills the context.
    pub(super) fn sample_ids(&self) -> Result<Vec<Vec<u32>>> {
        let context = self.model.context();
        let text = self.config.data_format == DataFormat::Text;
        let ids = |prompt: &String| {
            let ids = if text {
                self.codec
                    .continuation_ids(prompt, self.config.parse_special_tokens)?
            } else {
                let (role, content) = ("user".to_owned(), prompt.clone());
                self.codec.prompt_ids(&[Message { role, content }])?
            };
            if ids.is_empty() || ids.len() >= context {
                let problem = format!(
                    "has a prompt of {} tokens, expected 1 to {}",
                    ids.len(),
                    context - 1
                );
                return Err(Error::input("`sample_prompts`", problem));
            }
            Ok(ids)
        };
        self.config.sample_prompts.iter().map(ids).collect()
    }

    /// What the model says now after each of the settings' `sample_prompts`, chosen greedily.
    ///
    /// # Errors
    /// What the model reports.
    pub fn samples(&self) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        for (prompt, ids) in self.config.sample_prompts.iter().zip(self.sample_ids()?) {
            let stop = self.codec.stop_tokens();
            let new = greedy(&self.model, &ids, stop, self.config.sample_tokens)?;
            let (prompt, text) = (prompt.clone(), self.codec.decode(&new)?);
            samples.push(Sample { prompt, text });
        }
        Ok(samples)
    }

    /// Trains without a folder; `each` is told of every row of the log as it comes.
    ///
    /// # Errors
    /// As [`Session::train`].
    pub fn train_logged(&self, mut each: impl FnMut(&LogRow)) -> Result<Vec<LogRow>> {
        let mut rows = Vec::new();
        let mut watch = Callback(|event: &Event| {
            if let Event::Logged(row) = event {
                each(row);
                rows.push(row.clone());
            }
        });
        self.train(None, &mut [&mut watch], None)?;
        Ok(rows)
    }
}
