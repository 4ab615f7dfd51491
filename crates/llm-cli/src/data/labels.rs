//! `deeper data labels`: which tokens of a row the loss counts.

use anyhow::Result;
use clap::{Args, ValueEnum};
use llm_core::ops::IGNORE_INDEX;
use llm_core::text::visible;
use llm_show::look::width;
use llm_show::number::{count, percent};
use llm_show::{Cell, Complaint, Look, Meaning, Screen, Table};
use llm_train::config::PromptStyle;
use llm_train::data::Row;
use llm_train::labels::Counts;
use llm_train::prompt::Codec;
use llm_train::quality::{Entries, Input, Sample};

use super::Shared;

/// Columns of a line of tokens behind its name.
const COLUMNS: usize = 66;
/// Columns of the name.
const NAME: usize = 8;

/// See which tokens the model has to learn, exactly as training masks them
///
/// Tokens stand between bars; a space is a dot. What is only read is `prompt`, what the loss counts
/// is `learn`, what the limit cuts off is `cut`. The table counts all rows.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  deeper data labels --data train.jsonl --model path/to/model\n  \
deeper data labels --data train.jsonl --model path/to/model --max-length 64 --rows 10"
)]
pub(super) struct LabelsArgs {
    #[command(flatten)]
    pub(super) shared: Shared,
    /// The model that will be trained: its tokenizer and chat template
    #[arg(long, value_name = "M")]
    model: String,
    /// Rows to show
    #[arg(long, default_value_t = 3, value_name = "N")]
    rows: usize,
    /// The longest row in tokens, as max_length of the training settings
    #[arg(long, default_value_t = 512, value_name = "N")]
    max_length: usize,
    /// How prompts are written, as prompt_format of the training settings
    #[arg(long, value_enum, default_value = "auto", value_name = "FORMAT")]
    prompt_format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// The model's chat template if it has one, else plain
    Auto,
    /// The model's chat template
    Chat,
    /// The prompt, a new line, the answer
    Plain,
}

pub(super) fn run(args: &LabelsArgs) -> Result<()> {
    let inputs = super::line_inputs(&args.shared)?;
    let style = match args.prompt_format {
        Format::Auto => PromptStyle::Auto,
        Format::Chat => PromptStyle::Chat,
        Format::Plain => PromptStyle::Plain,
    };
    let codec = super::codec(&args.model, style)?;
    let mut weather = llm_show::stderr_weather(&args.shared.look);
    weather.fact("prompts", codec.format_name());
    let mut screen = llm_show::stdout_screen(&args.shared.look);
    let mut counts = Counts::default();
    let total = inputs.iter().map(Input::bytes).sum();
    let mut entries = Entries::new(&inputs);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let Sample::Row(row) = entry.usable()? else {
            let problem = format!(
                "{}: is a document, of which every token is learnt",
                entry.at
            );
            return Err(Complaint::new(problem)
                .hint("labels are for rows with a prompt and an answer")
                .into());
        };
        if counts.rows < args.rows {
            show(&mut screen, &codec, row, args.max_length)?;
        }
        add(&mut counts, &codec, row, args.max_length)?;
        weather.progress("tokenizing", entries.bytes_done(), total);
    }
    weather.clear();
    if counts.rows == 0 {
        return Err(llm_train::Error::input("data", "has no rows, expected at least one").into());
    }
    totals(&mut screen, &counts);
    Ok(screen.finish()?)
}

fn add(counts: &mut Counts, codec: &Codec, row: &Row, max_length: usize) -> Result<()> {
    let (example, truncated) = codec.example(row, max_length)?;
    counts.rows += 1;
    counts.truncated += usize::from(truncated);
    match example {
        None => counts.dropped += 1,
        Some(example) => {
            counts.examples += 1;
            counts.tokens += example.ids.len();
            counts.supervised += example.supervised();
        }
    }
    Ok(())
}

/// What becomes of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Prompt,
    Learn,
    Cut,
}

impl Fate {
    fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Learn => "learn",
            Self::Cut => "cut",
        }
    }

    fn meaning(self) -> Meaning {
        match self {
            Self::Prompt => Meaning::Muted,
            Self::Learn => Meaning::Good,
            Self::Cut => Meaning::Bad,
        }
    }
}

/// One row: its place, then runs of tokens that share a fate.
fn show(screen: &mut Screen, codec: &Codec, row: &Row, max_length: usize) -> Result<()> {
    let (example, _) = codec.example(row, usize::MAX)?;
    let Some(example) = example else {
        return Ok(());
    };
    let look = screen.look();
    // The first token has nothing before it that could predict it
    let fate = |(place, label): (usize, &i64)| match *label {
        _ if place >= max_length => Fate::Cut,
        IGNORE_INDEX => Fate::Prompt,
        _ if place == 0 => Fate::Prompt,
        _ => Fate::Learn,
    };
    let fates: Vec<Fate> = example.labels.iter().enumerate().map(fate).collect();
    let of = |fate: Fate| fates.iter().filter(|other| **other == fate).count();
    let place = format!("{}:{}", row.path.display(), row.line);
    let counts = [Fate::Prompt, Fate::Learn, Fate::Cut].map(|fate| (fate.name(), of(fate)));
    let counts = counts
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name} {count}"));
    let counts = counts.collect::<Vec<_>>().join(", ");
    screen.line(&look.text(&format!("{place}  {counts}")));
    let mut start = 0;
    for run in fates.chunk_by(|a, b| a == b) {
        let ids = example.ids.iter().skip(start).take(run.len());
        let pieces: Vec<String> = ids
            .map(|id| visible::token(&codec.tokenizer.piece(*id), look.ascii))
            .collect();
        if let Some(fate) = run.first() {
            segment(screen, look, *fate, &pieces);
        }
        start += run.len();
    }
    screen.line("");
    Ok(())
}

/// Tokens between bars, in lines that fit.
fn segment(screen: &mut Screen, look: Look, fate: Fate, pieces: &[String]) {
    let mut lines: Vec<String> = Vec::new();
    for piece in pieces {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(piece) <= COLUMNS => {
                line.push('|');
                line.push_str(piece);
            }
            _ => lines.push(piece.clone()),
        }
    }
    for (number, line) in lines.iter().enumerate() {
        let name = if number == 0 { fate.name() } else { "" };
        let name = format!("   {name:NAME$}");
        screen.line(&format!("{name}{}", look.paint(fate.meaning(), line)));
    }
}

/// What training will count.
fn totals(screen: &mut Screen, counts: &Counts) {
    let of = |part: usize, all: usize| Cell::number(percent(part as f64 / all.max(1) as f64));
    let prompt = counts.tokens - counts.supervised;
    let mut table = Table::new(&["all rows", "count", "share"]);
    table.row([
        "cut at the limit".into(),
        counts.truncated.into(),
        of(counts.truncated, counts.rows),
    ]);
    table.row([
        "dropped: no answer left".into(),
        counts.dropped.into(),
        of(counts.dropped, counts.rows),
    ]);
    table.row([
        "tokens learnt".into(),
        counts.supervised.into(),
        of(counts.supervised, counts.tokens),
    ]);
    table.row([
        "tokens only read".into(),
        prompt.into(),
        of(prompt, counts.tokens),
    ]);
    screen.line(&format!("{} rows", count(counts.rows as u64)));
    screen.show(&table);
}
