//! Text to token ids and back.
//!
//! A model sees numbers. What stands for one number is a choice: a character ([`chars`], few and
//! short), or a piece of a word that training found frequent ([`bpe`], written out from scratch;
//! [`hf`], the tokenizers of published models). A text of n bytes becomes T ≤ n ids below V, and
//! decoding gives the text back: decode(encode(x)) = x, without a normalizer.
//!
//! [`visible`] shows tokens with their borders and spaces,
//! [`stream`] turns ids that arrive one at a time into text without half characters, and [`chat`]
//! turns a conversation into the ids that a model was trained on. Two rules hold everywhere: what a
//! user typed never becomes a special token, and a text that cannot be encoded is an error.
//!
//! ```
//! use llm_core::text::bpe::{PreTokenizer, Trainer};
//! use llm_core::text::hf::HfTokenizer;
//! use llm_core::text::stream::Utf8Stream;
//!
//! let special_tokens = vec!["<|im_end|>".to_owned()];
//! let trainer = Trainer { special_tokens, ..Trainer::new(270, PreTokenizer::qwen2()?) };
//! let bpe = trainer.train(["the cat sat on the mat, the cat the cat sat"])?;
//! let tokenizer = HfTokenizer::from_json("tokenizer.json", &bpe.to_tokenizer_json())?;
//!
//! let ids = tokenizer.encode("the 🐈<|im_end|>")?;
//! assert_eq!(ids, bpe.encode("the 🐈<|im_end|>")?);
//! assert!(!ids.iter().any(|&id| tokenizer.is_special(id)));
//!
//! let mut stream = Utf8Stream::new(&tokenizer, true);
//! let parts: Vec<String> = ids.iter().map(|&id| stream.push(id)).collect::<Result<_, _>>()?;
//! assert_eq!(parts.concat(), "the 🐈<|im_end|>");
//! # Ok::<(), llm_core::Error>(())
//! ```

pub mod bpe;
pub mod chars;
pub mod chat;
pub mod hf;
pub mod stream;
pub mod visible;
