//! The learning rate range test on a real model: what it says has to hold in training.

use llm_train::config::{Method, TrainConfig};
use llm_train::range_test::Range;
use llm_train::schedule::ScheduleKind;
use llm_train::session::Session;

use crate::kit::Kit;

const RANGE: Range = Range {
    low: 1e-5,
    high: 100.0,
    steps: 60,
};

#[test]
fn it_finds_where_training_diverges_and_suggests_a_rate_that_learns() {
    let kit = Kit::new(true);
    let config = TrainConfig {
        method: Method::Full,
        gradient_accumulation_steps: 1,
        max_grad_norm: 0.0,
        ..kit.config(&kit.rows())
    };
    let open = |config: TrainConfig| Session::open(config, Some(&kit.base())).unwrap();
    let mut told = 0;
    let test = open(config.clone())
        .range_test(RANGE, |_| told += 1)
        .unwrap();
    assert_eq!(told, test.points.len());
    let (suggested, diverged) = (test.suggested.unwrap(), test.diverged.unwrap());
    assert!(suggested < diverged, "{suggested} and {diverged}");

    let after_at = |lr: f64| {
        let config = TrainConfig {
            lr,
            lr_scheduler_type: ScheduleKind::Constant,
            warmup_ratio: 0.0,
            max_steps: Some(20),
            ..config.clone()
        };
        let session = open(config);
        let loss = |session: &Session| llm_train::evaluate::mean_loss(&session.losses().unwrap());
        let before = loss(&session);
        match session.train(None, &mut [], None) {
            Ok(_) => loss(&session) - before,
            Err(error) => {
                assert_eq!(error.exit_code(), 4, "{error}");
                f64::INFINITY
            }
        }
    };
    let (good, bad) = (after_at(suggested), after_at(diverged));
    assert!(
        good < 0.0,
        "at {suggested:e} the held-out loss rose by {good}"
    );
    assert!(
        bad > 0.0,
        "at {diverged:e} the held-out loss fell by {}",
        -bad
    );
}
