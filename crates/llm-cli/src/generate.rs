//! `deeper generate`: continue a prompt.

use anyhow::Result;
use clap::Args;
use llm_core::generate::{GenerateConfig, generate};
use llm_core::sample::SamplerConfig;
use llm_core::text::hf::HfTokenizer;
use llm_core::text::stream::Utf8Stream;
use llm_show::ToolArgs;
use llm_store::ModelFolder;
use llm_train::config::PromptStyle;
use llm_train::data::Message;
use llm_train::prompt::Codec;

use crate::model::{ModelArgs, tokenizer};

/// Continue a prompt; only the continuation goes to stdout.
#[derive(Args, Debug)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    pub tool: ToolArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// The text to continue; special tokens in it are ordinary text
    #[arg(long, value_name = "STR")]
    prompt: String,
    /// Ask the prompt as a user would, in the model's chat template (or, without one, in the plain
    /// form that fine-tuning uses)
    #[arg(long)]
    chat: bool,
    /// Stop after this many tokens, 1 or more
    #[arg(long, default_value_t = 128, value_name = "N")]
    max_new_tokens: usize,
    /// Divides the logits, 0 to 100; 0 always takes the best token
    #[arg(long, default_value_t = 0.0, value_name = "F")]
    temperature: f64,
    /// Choose among the N best tokens; 0 keeps all
    #[arg(long, default_value_t = 0, value_name = "N")]
    top_k: usize,
    /// Choose among the best tokens that together reach this probability, above 0 to 1
    #[arg(long, default_value_t = 1.0, value_name = "F")]
    top_p: f64,
    /// Choose among tokens with at least this share of the best one's probability, 0 to 1
    #[arg(long, default_value_t = 0.0, value_name = "F")]
    min_p: f64,
    /// Lower the score of tokens seen before by this factor; 1 changes nothing
    #[arg(long, default_value_t = 1.0, value_name = "F")]
    repetition_penalty: f64,
}

pub(crate) fn run(args: GenerateArgs) -> Result<()> {
    crate::model::threads(&args.tool)?;
    let folder = args.model.folder()?;
    let tokenizer = tokenizer(&folder)?;
    let model = args.model.decoder(&folder, &args.tool)?;
    let prompt = prompt_ids(&args, &folder, &tokenizer)?;
    let mut stop_tokens = folder.config.eos_token_ids.clone();
    stop_tokens.extend(tokenizer.eos_ids());
    let config = GenerateConfig {
        max_new_tokens: args.max_new_tokens,
        stop_tokens,
        sampler: SamplerConfig {
            temperature: args.temperature,
            top_k: args.top_k,
            top_p: args.top_p,
            min_p: args.min_p,
            repetition_penalty: args.repetition_penalty,
            seed: args.tool.seed,
        },
    };
    let mut screen = llm_show::stdout_screen(&args.tool.look);
    let mut stream = Utf8Stream::new(&tokenizer, true);
    for token in generate(&model, &prompt, &config)? {
        screen.raw(&stream.push(token?)?);
    }
    screen.raw(&stream.finish()?);
    screen.line("");
    Ok(screen.finish()?)
}

fn prompt_ids(
    args: &GenerateArgs,
    folder: &ModelFolder,
    tokenizer: &HfTokenizer,
) -> Result<Vec<u32>> {
    if args.chat {
        let codec = Codec::open(folder.path(), PromptStyle::Auto)?;
        let trained = args.model.adapter.as_deref().unwrap_or(folder.path());
        llm_train::monitor::template::check(trained, &codec)?;
        return Ok(codec.prompt_ids(&[Message {
            role: "user".into(),
            content: args.prompt.clone(),
        }])?);
    }
    let mut ids: Vec<u32> = tokenizer.bos_id().into_iter().collect();
    ids.extend(tokenizer.encode(&args.prompt)?);
    Ok(ids)
}
