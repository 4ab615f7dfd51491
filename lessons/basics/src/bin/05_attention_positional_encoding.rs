//! How does attention know which word came first?
//!
//! What you will see: two words of a sentence change places, read without positions and with four
//! ways to tell them; the waves, turns and slopes behind these; and a head trained with rope on short
//! texts, which fails on long ones until positions are squeezed.
//!
//! Reads: crates/llm-core/src/math/{positions,rope,recall}.rs.
//! Try: `--tokens "dog bites man"`, `--channels 4`, `--seed 8`.

use clap::Args;
use llm_core::math::attention::{Mask, word_vectors};
use llm_core::math::positions::{Encoding, alibi_slopes, sinusoids};
use llm_core::math::recall::{self, Training};
use llm_core::math::rope::{THETA, score, shift_error, unfinished};
use llm_core::math::{gradient::compare, scale::gaussian, self_attention::SelfAttention};
use llm_core::rng::{Purpose, stream};
use llm_show::{Complaint, Grid, GridStyle, Lesson, Table, svg};

const HEAD: usize = 8; // D, of a query and a key: four pairs to turn
const TRAINED: usize = 16; // tokens of the longest text that step 5 learns from
/// The row of position 1 for four channels, six decimals.
const SECOND: [f64; 4] = [0.841471, 0.540302, 0.010000, 0.999950];

/// Own flags.
#[derive(Args)]
struct Own {
    /// Words of a sentence, 3 to 12; the second and the last change places
    #[arg(long, default_value = "the dog bites the man", value_name = "WORDS")]
    tokens: String,
    /// C, channels of a word's vector, an even number from 2 to 64
    #[arg(long, default_value_t = 16, value_name = "C")]
    channels: usize,
}

fn main() -> std::process::ExitCode {
    llm_show::teach(env!("CARGO_BIN_NAME"), run)
}

fn run(lesson: &mut Lesson, own: &Own) -> anyhow::Result<()> {
    lesson.weather.fact("device", "cpu, plain loops in f64");
    let words: Vec<String> = own.tokens.split_whitespace().map(str::to_owned).collect();
    let (t, c, seed) = (words.len(), own.channels, lesson.args.seed);
    if !(3..=12).contains(&t) || words[1] == words[t - 1] {
        let problem = "--tokens needs 3 to 12 words, and the second must differ from the last";
        return Err(Complaint::new(problem).hint("--tokens \"dog bites man\"").into());
    }
    if !(2..=64).contains(&c) || c % 2 == 1 {
        let why = "channels come in pairs, a sine and a cosine of one frequency";
        let problem = format!("--channels is {c}, expected an even number from 2 to 64: {why}");
        return Err(Complaint::new(problem).hint("--channels 16").into());
    }

    lesson.step("Two words change places: do outputs do more than change places with them?");
    let rng = &mut stream(seed, Purpose::Demo);
    let (module, x) = (SelfAttention::init(rng, c, HEAD), word_vectors(&words, c, rng));
    let mut table = Table::new(&["what tells positions", "largest other change of an output"]);
    let mut effects = Vec::new();
    for (name, way) in Encoding::every(rng, t, c) {
        let effect = way.order_effect(&module, &x, (1, t - 1), Mask::None)?;
        // Sums in another order differ in their last bits, which is no news.
        table.row([name.into(), ((effect * 1e9).round() / 1e9).into()]);
        effects.push(effect);
    }
    effects.push(Encoding::None.order_effect(&module, &x, (1, t - 1), Mask::Causal)?);
    table.row(["nothing but a causal mask".into(), effects[5].into()]);
    lesson.show(&table);
    lesson.check("nothing: a bag of words", effects[0], 1e-12);
    let least = effects[1..].iter().copied().fold(f64::INFINITY, f64::min);
    lesson.check_that("all others notice", "by more than 1e-3", least > 1e-3);

    lesson.step("Sinusoids: a pair of channels is a clock's hand, slower from pair to pair");
    let number = |n: usize| -> Vec<String> { (0..n).map(|n| n.to_string()).collect() };
    let (rows, columns, waves) = (number(32), number(c), sinusoids(32, c)?);
    let (values, low, high) = (waves.as_slice().unwrap_or(&[]), -1.0, 1.0);
    let heat = GridStyle::Heatmap { low, high };
    lesson.show(&Grid::new(&rows[..12], &columns, &values[..12 * c], heat));
    let title = "sinusoids: position down, channel across";
    lesson.picture(|| svg::heatmap(title, &rows, &columns, values, svg::Scale { low, high }));
    let second = compare(&sinusoids(2, 4)?.row(1).to_vec(), &SECOND).largest;
    lesson.check("position 1, 4 channels: sin, cos of 1, 1/100", second, 1e-6);
    turns_and_slopes(lesson);
    past_the_trained_length(lesson)
}

/// Steps 3 and 4: rope and ALiBi.
fn turns_and_slopes(lesson: &mut Lesson) {
    lesson.step("Rope: query and key turn with position; their product sees the distance");
    let rng = &mut stream(lesson.args.seed, Purpose::Data);
    let (q, k) = (gaussian(rng, 1, HEAD, 1.0), gaussian(rng, 1, HEAD, 1.0));
    let (q, k) = (q.row(0).to_vec(), k.row(0).to_vec());
    let mut table = Table::new(&["query at", "key at", "distance", "q·k"]);
    for (m, n) in [(3, 1), (13, 11), (1003, 1001), (3, 0), (1003, 1000)] {
        table.row([m.into(), n.into(), (m - n).into(), score(&q, &k, m, n).into()]);
    }
    lesson.show(&table);
    lesson.check("q·k when both move on, 1,000 draws", shift_error(rng, 64, 1000), 1e-5);

    lesson.step("ALiBi: each step of distance lowers a score, by a slope of each head's own");
    let slopes = alibi_slopes(8);
    let mut table = Table::new(&["head", "slope", "tokens that halve a share"]);
    for head in [0, 3, 7] {
        table.row([(head + 1).into(), slopes[head].into(), (2f64.ln() / slopes[head]).into()]);
    }
    lesson.show(&table);
    lesson.check("slope of head 8 of 8 == 1/256", slopes[7] - 1.0 / 256.0, 0.0);
}

/// Step 5: what a trained head makes of positions that it never saw.
fn past_the_trained_length(lesson: &mut Lesson) -> anyhow::Result<()> {
    lesson.step("A head with rope learns to look up names in 16 tokens. And in more?");
    let seed = lesson.args.seed;
    let head = SelfAttention::init(&mut stream(seed, Purpose::Init), recall::channels(4), HEAD);
    let training = Training { longest: Some(TRAINED), ..Training::default() };
    let head = recall::trained(&head, seed, 4, &training)?.module;
    let mut table = Table::new(&["tokens", "loss", "loss with positions squeezed to fit"]);
    let mut losses = Vec::new();
    for length in [1, 2, 16, 64].map(|times| times * TRAINED) {
        let [plain, squeezed] = recall::loss_at(&head, (seed, 4), length, TRAINED);
        table.row([length.into(), plain.into(), squeezed.into()]);
        losses.push([plain, squeezed]);
    }
    lesson.show(&table);
    let new = unfinished(HEAD, THETA, TRAINED)?;
    lesson.say(&format!("{new} of {} pairs never went round: later angles are new", HEAD / 2));
    let far = losses[3][0] > 10.0 * losses[0][0];
    lesson.check_that("64 times as long", "over 10 x the loss", far);
    lesson.check_between("64 times as long, squeezed: loss", losses[3][1], (0.0, 0.1));
    lesson.solution(unfinished(64, THETA, 512)? as f64, 0.0);
    Ok(())
}
