//! What a person sees: settings and progress on stderr, the result on stdout.

use llm_show::look::clip;
use llm_show::number::{bytes, count};
use llm_show::{Curve, Screen, Table, Weather};
use llm_train::evaluate::Answer;
use llm_train::finetune::{BeforeAfter, FinetuneReport};
use llm_train::runs::RunFolder;
use llm_train::session::Session;

use crate::args::Args;

/// Rows of the table of answers.
const SHOWN: usize = 8;
/// Bytes of an f32 weight, its gradient and the two moments of AdamW.
const BYTES_TRAINED: u64 = 16;
const BYTES_FROZEN: u64 = 4;

/// The resolved settings, before anything is computed.
pub(crate) fn settings(weather: &mut Weather, session: &Session) -> llm_train::Result<()> {
    let (config, report) = (&session.config, &session.dataset.report);
    let total = session.total_parameters()? as u64;
    let trained = session.parameters.count() as u64;
    let memory = total.saturating_sub(trained) * BYTES_FROZEN + trained * BYTES_TRAINED;
    let share = 100.0 * trained as f64 / total.max(1) as f64;
    weather.settings(&[
        ("base", config.model_name.clone().unwrap_or_default()),
        (
            "data",
            format!(
                "{} rows, {} held out",
                count(report.train.examples as u64),
                count(report.validation.examples as u64)
            ),
        ),
        (
            "LoRA",
            format!(
                "r {}, alpha {}, dropout {}, on {}",
                config.lora_r,
                config.lora_alpha,
                config.lora_dropout,
                config.lora_target_modules.join(" ")
            ),
        ),
        ("trained", format!("{} of {} parameters, {share:.2} %", count(trained), count(total))),
        ("memory", format!("{} for weights, gradients and moments", bytes(memory))),
        (
            "steps",
            format!(
                "{} of {} x {} rows, lr {:e}",
                count(session.total_steps()),
                config.gradient_accumulation_steps,
                config.batch_size,
                config.lr
            ),
        ),
        ("device", format!("{:?} ({})", session.device().location(), session.device_reason)),
    ]);
    Ok(())
}

/// The result.
pub(crate) fn show(
    screen: &mut Screen,
    args: &Args,
    session: &Session,
    found: &FinetuneReport,
    curve: &[f64],
) {
    let config = &session.config;
    let facts = format!("LoRA r={} α={} · seed {}", config.lora_r, config.lora_alpha, config.seed);
    screen.header("lora_finetune", &facts, "What does a small adapter learn, and how do we know?");
    let rows = count(session.dataset.train.len() as u64);
    let what = if args.control() { "rows with exchanged answers (the control)" } else { "rows" };
    screen.step(&format!(
        "Train {} of {} parameters on {rows} {what}",
        count(found.trainable as u64),
        count(found.total as u64)
    ));
    screen.show(&Curve::new(curve, "ten steps"));
    if !found.answers.is_empty() {
        screen.step("Ask held-out questions before and after");
        answers(screen, &found.answers);
    }
    screen.step("Measure both models on the same held-out rows");
    let mut table = Table::new(&["held out", "base", "tuned", "tuned - base", "95 % interval"]);
    for (name, pair) in [("loss a token", &found.loss), ("exact match", &found.exact_match)] {
        if let Some(pair) = pair {
            let interval = format!("{:+.4} to {:+.4}", pair.difference.low, pair.difference.high);
            table.row([
                name.into(),
                pair.before.into(),
                pair.after.into(),
                pair.difference.value.into(),
                llm_show::Cell::number(interval),
            ]);
        }
    }
    screen.show(&table);
    screen.line("");
    if let Some(loss) = &found.loss {
        screen.closing("Result", verdict(loss));
    }
    if args.bundled_data() {
        screen.closing(
            "Note",
            "Questions and answers were written to show fine-tuning. Not medical advice.",
        );
    }
}

fn verdict(loss: &BeforeAfter) -> &'static str {
    match (loss.difference.excludes_zero(), loss.difference.value < 0.0) {
        (true, true) => "the held-out loss fell: its interval excludes 0",
        (true, false) => "the held-out loss rose: its interval excludes 0",
        (false, _) => "the interval of the held-out loss holds 0: no change is shown",
    }
}

/// Questions at even distances, so that the table is the same in every run.
fn answers(screen: &mut Screen, pairs: &[(Answer, Answer)]) {
    let look = screen.look();
    let cell = |text: &str, columns| clip(look, &text.replace('\n', " "), columns);
    let mut table = Table::new(&["question", "expected", "base", "tuned"]);
    for (before, after) in pairs.iter().step_by(pairs.len().div_ceil(SHOWN).max(1)) {
        let words = [&after.expected, &before.answer, &after.answer].map(|text| cell(text, 14));
        let [expected, base, tuned] = words;
        table.row([cell(&after.prompt, 28).into(), expected.into(), base.into(), tuned.into()]);
    }
    screen.show(&table);
}

/// Where the adapter is and what can be done with it.
pub(crate) fn next(weather: &mut Weather, args: &Args, run: &RunFolder) {
    weather.fact("adapter", &run.model().display().to_string());
    let command = format!(
        "deeper generate --model {} --adapter {} --chat --prompt STR",
        args.model(),
        run.model().display()
    );
    weather.fact("next", &command);
}
