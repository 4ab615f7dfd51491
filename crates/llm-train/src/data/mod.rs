//! Files → rows and documents.
//!
//! | format | a row |
//! |---|---|
//! | `prompt_completion` | `{"prompt": "…", "completion": "…"}` |
//! | `messages` | `{"messages": [{"role": "user", "content": "…"}, …, {"role": "assistant", …}]}` |
//! | `instruction` | `{"instruction": "…", "input": "… or empty", "output": "…"}` |
//! | `text` | plain text, or `{"text": "…"}` rows, for pretraining |
//!
//! `.jsonl` files hold one object a line, `.json` files one array of them; `.csv` and `.tsv` files
//! name the keys in their first line, and so do the columns of `.parquet` files, which a program
//! reads after [`install_table_reader`]. Rows are read one at a time ([`stream_rows`]), however
//! large the file. Preferences (`{"prompt", "chosen", "rejected"}`) and questions with a check
//! (`{"prompt", "check", "reference"}`) are rows with a judgement ([`read_pairs`],
//! [`read_questions`]). Other keys of a row are left alone; a known key that stands twice is an error,
//! since readers disagree on which of the two counts. A line that cannot be used stops the run
//! with its file and number: a training set that silently shrinks is worse than one that does not
//! start.

mod documents;
mod elements;
mod exchange;
pub(crate) mod fields;
mod files;
mod judged;
mod lines;
pub(crate) mod records;
pub(crate) mod rows;
mod split;
mod tables;

use serde::{Deserialize, Serialize};

pub use documents::{DOCUMENT_SEPARATOR, Documents, read_documents, stream_documents};
pub use exchange::exchange_answers;
pub use files::find_files;
pub use judged::{Pair, Question, read_pairs, read_questions};
pub use lines::LONGEST_RECORD;
pub use rows::{Message, Row, Rows, read_rows, stream_rows};
pub(crate) use split::split_by;
pub use split::{Split, overlap, split_rows};
pub use tables::{TableReader, TableRows, install_table_reader};

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
