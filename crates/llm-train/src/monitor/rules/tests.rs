//! Each rule on a scripted log: silent on a sound run, once an episode on its fault.

use super::*;

fn step(step: u64, loss: f64, grad_norm: f64) -> StepReport {
    StepReport {
        step,
        loss,
        grad_norm,
        lr: 1e-3,
    }
}

/// Falling, with noise that is the same on every run.
fn sound(step: u64) -> f64 {
    let noise = ((step * 7919) % 101) as f64 / 101.0 - 0.5;
    0.5 + 3.0 * (-(step as f64) / 80.0).exp() + 0.3 * noise
}

fn row(step: u64, loss: f64, val: Option<f64>) -> LogRow {
    LogRow {
        step,
        epoch: 0.0,
        loss,
        val,
        lr: 1e-3,
        grad: 1.0,
        tokens_per_second: 1.0,
        eta_seconds: 0.0,
        measures: Default::default(),
    }
}

/// Rules and steps of the warnings on a scripted run.
fn on_steps(losses: impl Iterator<Item = (f64, f64)>) -> Vec<(Rule, u64)> {
    let mut watch = Watch::steps();
    let mut found = Vec::new();
    for (index, (loss, grad)) in losses.enumerate() {
        for warning in watch.step(&step(index as u64 + 1, loss, grad)) {
            assert!(!warning.message.is_empty() && !warning.hint.is_empty());
            found.push((warning.rule, warning.step));
        }
    }
    found
}

#[test]
fn a_sound_run_gives_no_warning() {
    assert_eq!(on_steps((1..400).map(|t| (sound(t), 1.0))), []);
    let mut watch = Watch::rows();
    for t in 1..60 {
        let val = Some(0.7 + 3.0 * (-(t as f64) / 15.0).exp());
        assert_eq!(watch.row(&row(t, sound(5 * t), val)), []);
    }
}

#[test]
fn one_spike_is_one_warning_and_a_later_one_another() {
    let losses = (1..200).map(|t| match t {
        60 | 61 | 150 => (9.0, 40.0),
        t => (sound(t), 1.0),
    });
    assert_eq!(on_steps(losses), [(Rule::Spike, 60), (Rule::Spike, 150)]);
}

#[test]
fn a_rising_loss_diverges() {
    let losses = (1..60).map(|t| (2.0 + 0.1 * t as f64, 5.0));
    let found = on_steps(losses);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, Rule::Diverging);
    assert!(found[0].1 < 30, "{found:?}");
}

#[test]
fn a_loss_that_does_not_fall_is_flat_but_not_during_warmup() {
    let noise = |t: u64| 3.0 + 0.05 * ((t * 7919 % 101) as f64 / 101.0 - 0.5);
    let found = on_steps((1..200).map(|t| (noise(t), 1.0)));
    assert_eq!(found, [(Rule::Flat, 60)]);
    let mut watch = Watch::steps();
    for t in 1..200 {
        let report = StepReport {
            lr: t as f64 * 1e-5,
            ..step(t, noise(t), 1.0)
        };
        assert_eq!(watch.step(&report), []);
    }
    let learned = (1..200).map(|_| (0.02, 1.0));
    assert_eq!(on_steps(learned), []);
}

#[test]
fn gradients_that_explode_or_vanish() {
    let losses = (1..40).map(|t| match t {
        20..=22 => (sound(t), 500.0),
        30 => (sound(t), 0.0),
        t => (sound(t), 1.0),
    });
    let want = [(Rule::ExplodingGradients, 20), (Rule::ZeroGradient, 30)];
    assert_eq!(on_steps(losses), want);
}

#[test]
fn overfit_needs_both_curves() {
    let vals = [3.0, 2.0, 1.5, 1.6, 1.7, 1.8, 1.9];
    let run = |train: fn(f64) -> f64| -> Vec<u64> {
        let mut watch = Watch::steps();
        let rows = vals.iter().enumerate();
        rows.flat_map(|(t, &val)| watch.row(&row(t as u64, train(t as f64), Some(val))))
            .filter(|warning| warning.rule == Rule::Overfit)
            .map(|warning| warning.step)
            .collect()
    };
    assert_eq!(run(|t| 3.0 / (1.0 + t)), [4]);
    assert_eq!(run(|_| 3.0), [0u64; 0]);
}

#[test]
fn slow_rows_have_to_last() {
    let rates = [100.0; 8]
        .into_iter()
        .chain([20.0, 100.0, 20.0, 20.0, 20.0, 20.0]);
    let run = |seconds: f64| -> Vec<u64> {
        let mut watch = Watch::steps();
        let row = |step: usize| SystemRow {
            step: step as u64,
            seconds,
            ..SystemRow::default()
        };
        let rows = rates.clone().enumerate();
        rows.flat_map(|(t, rate)| watch.system(&row(t), rate))
            .map(|warning| warning.step)
            .collect()
    };
    assert_eq!(run(2.0), [12]);
    assert_eq!(run(0.1), [0u64; 0]);
}

#[test]
fn memory_and_input() {
    let system = |step: u64, used: u64, input: f64| SystemRow {
        step,
        memory_bytes: Some(used),
        memory_limit: Some(1000),
        input_share: Some(input),
        ..SystemRow::default()
    };
    let mut watch = Watch::steps();
    let rows = [(500, 0.9), (950, 0.1), (960, 0.4), (500, 0.4), (910, 0.4)];
    let found: Vec<(Rule, u64)> = rows
        .iter()
        .enumerate()
        .flat_map(|(t, &(used, input))| watch.system(&system(t as u64, used, input), 1.0))
        .map(|warning| (warning.rule, warning.step))
        .collect();
    let want = [(Rule::Memory, 1), (Rule::SlowInput, 4), (Rule::Memory, 4)];
    assert_eq!(found, want);
    assert_eq!(watch.system(&SystemRow::default(), 1.0), []);
}

#[test]
fn rewards_silence_the_rules_that_ask_for_a_falling_loss() {
    let found = |mut watch: Watch| -> usize {
        (1..200)
            .map(|t| {
                watch
                    .step(&step(t, 0.3, if t == 9 { 0.0 } else { 1.0 }))
                    .len()
            })
            .sum()
    };
    assert_eq!(
        found(Watch::steps()),
        2,
        "flat, and one step without a gradient"
    );
    assert_eq!(found(Watch::steps().of_method(Method::Dpo)), 2);
    assert_eq!(found(Watch::steps().of_method(Method::Grpo)), 0);
}
