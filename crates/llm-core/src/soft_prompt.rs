//! Soft prompts (Lester et al. 2021): P learnt vectors before every text, and nothing else trains.
//!
//! ```text
//! x = [p₁ … p_P, embed(id₁) … embed(id_T)]        P · C parameters
//! ```
//!
//! The vectors stand where token embeddings would, at positions 0 to P − 1, and the text moves
//! behind them; what the model says about them is not looked at. Names are PEFT's.

use candle_core::{Tensor, Var};
use rand::Rng;

use crate::dims::expect_shape;
use crate::model::Decoder;
use crate::params::Parameters;
use crate::rng::{Purpose, stream};
use crate::{Error, Result};

/// PEFT's name of the tensor `[P, C]`.
pub const NAME: &str = "prompt_embeddings";

/// Puts a fresh prompt of `virtual_tokens` vectors before every text and returns it as the only
/// parameter. The vectors begin as the embeddings of tokens that `seed` draws from the vocabulary,
/// which are where the model expects its inputs.
///
/// # Errors
/// No vectors, or so many that no text fits behind them.
pub fn attach(model: &mut Decoder, virtual_tokens: usize, seed: u64) -> Result<Parameters> {
    check_count(model, virtual_tokens)?;
    let v = u32::try_from(model.config().vocab_size).unwrap_or(u32::MAX);
    let mut rng = stream(seed, Purpose::Lora);
    let ids: Vec<u32> = (0..virtual_tokens)
        .map(|_| rng.random_range(0..v.max(1)))
        .collect();
    let ids = Tensor::from_vec(ids, virtual_tokens, model.device())?;
    let rows = model.embedding().detach().index_select(&ids, 0)?;
    let prompt = Var::from_tensor(&rows.to_dtype(model.dtype())?)?;
    model.set_soft_prompt(Some(prompt.as_tensor().clone()));
    let mut parameters = Parameters::default();
    parameters.insert(NAME, prompt);
    Ok(parameters)
}

/// Puts a prompt that was learnt before every text.
///
/// # Shapes
/// `prompt [P, C]`.
///
/// # Errors
/// Vectors of another size than the model's, or so many that no text fits behind them.
pub fn put(model: &mut Decoder, prompt: &Tensor) -> Result<()> {
    let p = prompt.dims().first().copied().unwrap_or(0);
    expect_shape(NAME, prompt, &[p, model.config().hidden_size])?;
    check_count(model, p)?;
    let prompt = prompt.to_dtype(model.dtype())?.to_device(model.device())?;
    model.set_soft_prompt(Some(prompt.contiguous()?.detach()));
    Ok(())
}

/// Takes the prompt away; the model is as it was.
pub fn detach(model: &mut Decoder) {
    model.set_soft_prompt(None);
}

fn check_count(model: &Decoder, virtual_tokens: usize) -> Result<()> {
    let context = model.config().max_position_embeddings;
    if (1..context).contains(&virtual_tokens) {
        return Ok(());
    }
    let problem = format!("is {virtual_tokens}, expected 1 to {}", context - 1);
    Err(Error::input("num_virtual_tokens", problem))
}
