//! Gradient descent on small functions: PyTorch's optimizers, the bound 2/L, what cannot work.

use llm_core::math::descent::{Bowl, Descent, End, Rule, walk};
use llm_core::math::gradient::{autograd, numeric};

use crate::math_loss::{fixture, near, numbers};

/// 25 steps in f64, summed in another order.
const F64: f64 = 1e-12;
/// Central differences in f64 with h = 1e-5 on values of size 10.
const SLOPE: f64 = 1e-7;
/// 10,000 products by −1 leave a distance to the last bit; the loss of 8 may lose a few.
const SWINGS: f64 = 1e-9;

const START: [f64; 2] = [4.0, 0.5];
const GOAL: f64 = 1e-6;
const MOST: usize = 20_000;

fn bowl() -> Bowl {
    let curvatures = vec![1.0, 64.0];
    Bowl { curvatures }
}

#[test]
fn one_step_by_hand() {
    let mut w = [0.5, -0.3];
    Descent::new(Rule::Plain, 0.01)
        .unwrap()
        .step(&mut w, &[1.0, -1.0]);
    near("w", &w, &[0.49, -0.29], 1e-15);
    // The function with these slopes is w₀ − w₁, and autograd finds them.
    let difference = |w: &candle_core::Tensor| Ok((w.get(0)? - w.get(1)?)?);
    near(
        "slopes",
        &autograd(&[0.5, -0.3], difference).unwrap(),
        &[1.0, -1.0],
        0.0,
    );
}

#[test]
fn every_rule_walks_as_pytorchs_optimizer() {
    let case = fixture("descent");
    let bowl = Bowl {
        curvatures: numbers(&case["curvatures"]),
    };
    let rules = [
        ("plain", Rule::Plain, 0.02),
        ("momentum", Rule::MOMENTUM, 0.02),
        ("adam", Rule::ADAM, 0.1),
    ];
    for (name, rule, lr) in rules {
        let walk = walk(|w| bowl.look(w), &START, (rule, lr), (0.0, 25)).unwrap();
        near(
            name,
            &walk.path.concat(),
            &numbers(&case[name]["path"]),
            F64,
        );
        near(
            name,
            &walk.losses[..25],
            &numbers(&case[name]["losses"]),
            F64,
        );
    }
}

#[test]
fn a_bowls_slope_by_hand_is_measured_and_recorded() {
    let bowl = Bowl {
        curvatures: vec![1.0, 64.0, 7.5],
    };
    let at = [4.0, 0.5, -1.25];
    let by_hand = bowl.look(&at).1;
    near(
        "measured",
        &by_hand,
        &numeric(&at, 1e-5, |w| bowl.look(w).0),
        SLOPE,
    );
    near(
        "recorded",
        &by_hand,
        &autograd(&at, |w| bowl.recorded(w)).unwrap(),
        F64,
    );
}

#[test]
fn below_two_over_l_it_arrives_at_it_swings_above_it_is_lost_as_foretold() {
    for steepest in [2.0, 7.3, 64.0, 300.0] {
        let bowl = Bowl {
            curvatures: vec![1.0, steepest],
        };
        let go = |lr| walk(|w| bowl.look(w), &START, (Rule::Plain, lr), (GOAL, MOST)).unwrap();
        for share in [0.1, 0.5, 0.9, 0.99, 0.999] {
            let walk = go(share * bowl.limit());
            assert_eq!(
                walk.end,
                End::Arrived,
                "L = {steepest}, {share} of the limit"
            );
            let fell = walk.losses.windows(2).all(|pair| pair[1] < pair[0]);
            assert!(fell, "L = {steepest}, {share}: every step goes down");
        }
        let walk = go(bowl.limit());
        assert_eq!(walk.end, End::Walking, "L = {steepest} at the limit");
        assert_eq!(bowl.foretell(bowl.limit()), End::Walking);
        let kept = 0.5 * steepest * START[1] * START[1];
        near("what swings", &[walk.loss()], &[kept], SWINGS * kept);
        for share in [1.001, 1.1, 3.0, 1e3] {
            let walk = go(share * bowl.limit());
            assert_eq!(
                walk.end,
                End::Diverged,
                "L = {steepest}, {share} of the limit"
            );
            assert_eq!(bowl.foretell(share * bowl.limit()), End::Diverged);
        }
    }
}

#[test]
fn momentum_is_faster_in_a_narrow_valley_and_adam_does_not_see_the_scale() {
    let bowl = bowl();
    let go = |rule, lr| walk(|w| bowl.look(w), &START, (rule, lr), (GOAL, MOST)).unwrap();
    let (plain, ball) = (go(Rule::Plain, 0.02), go(Rule::MOMENTUM, 0.02));
    assert!(
        ball.steps() * 2 < plain.steps(),
        "{} and {} steps",
        ball.steps(),
        plain.steps()
    );

    let adam = |factor: f64| {
        let f = |w: &[f64]| {
            let (loss, slope) = bowl.look(w);
            (factor * loss, slope.iter().map(|x| factor * x).collect())
        };
        walk(f, &START, (Rule::ADAM, 0.1), (0.0, 100)).unwrap().path
    };
    let (one, thousand) = (adam(1.0), adam(1000.0));
    near(
        "first step",
        &one[1],
        &[START[0] - 0.1, START[1] - 0.1],
        1e-8,
    );
    // Only ε, 1e-8 of slopes that come down to 1e-2, tells them apart.
    near("path", &one.concat(), &thousand.concat(), 1e-5);
}

#[test]
fn what_is_no_learning_rate_is_refused() {
    for lr in [0.0, -0.1, f64::NAN, f64::INFINITY] {
        let error = Descent::new(Rule::Plain, lr).unwrap_err().to_string();
        assert!(
            error.contains("expected a finite number above 0"),
            "{error}"
        );
        assert!(walk(|w| bowl().look(w), &START, (Rule::ADAM, lr), (GOAL, 5)).is_err());
    }
}

#[test]
fn a_loss_that_is_no_number_is_lost() {
    let f = |w: &[f64]| (w[0].sqrt(), vec![1.0]);
    let walk = walk(f, &[0.5], (Rule::Plain, 1.0), (-1.0, 100)).unwrap();
    assert_eq!((walk.end, walk.steps()), (End::Diverged, 1));
    assert!(walk.loss().is_nan());
}
