//! Files → rows and documents.
//!
//! | format | a row |
//! |---|---|
//! | `prompt_completion` | `{"prompt": "…", "completion": "…"}` |
//! | `messages` | `{"messages": [{"role": "user", "content": "…"}, …, {"role": "assistant", …}]}` |
//! | `instruction` | `{"instruction": "…", "input": "… or empty", "output": "…"}` |
//! | `text` | plain text, or `{"text": "…"}` rows, for pretraining |
//!
//! `.jsonl` files hold one object a line, `.json` files one array of them. Other keys of a row are
//! left alone. A line that cannot be used stops the run with its file and number: a training set
//! that silently shrinks is worse than one that does not start.

mod documents;
mod exchange;
mod files;
mod rows;
mod split;

use serde::{Deserialize, Serialize};

pub use documents::{DOCUMENT_SEPARATOR, read_documents};
pub use exchange::exchange_answers;
pub use files::find_files;
pub use rows::{Message, Row, read_rows};
pub use split::{Split, overlap, split_rows};

pub(crate) use rows::row as row_of;

/// How rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataFormat {
    /// Each row by the keys that it has.
    #[default]
    Auto,
    /// `prompt` and `completion`.
    PromptCompletion,
    /// `messages` of `role` and `content`, the last from the assistant.
    Messages,
    /// `instruction`, `input` (may be empty or absent) and `output`, as Alpaca's.
    Instruction,
    /// Plain text for pretraining.
    Text,
}
