//! Pages of the dashboard as text, against files; a page that differs is printed, and `BLESS=1` keeps
//! it.

use std::path::Path;
use std::time::Duration;

use llm_dashboard::draw::draw;
use llm_dashboard::{Row, State};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

/// The page of `state` on a terminal of this size, without spaces at line ends.
fn page(state: &State, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state, false)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let line = |y: u16| -> String {
        let cells = (0..width).map(|x| buffer[(x, y)].symbol().to_owned());
        cells.collect::<String>().trim_end().to_owned()
    };
    (0..height).map(|y| line(y) + "\n").collect()
}

/// A run halfway through, with everything to show.
fn halfway() -> State {
    let mut state = State::new("2026-01-31_23-59-59-medical", "cpu, f32");
    state.stage = "training".into();
    state.total = 400;
    for index in 1..=20_u64 {
        let fall = (-(index as f64) / 6.0).exp();
        state.log(Row {
            step: 10 * index,
            loss: 1.0 + 2.0 * fall + if index % 2 == 0 { 0.1 } else { 0.0 },
            val: index.is_multiple_of(5).then_some(1.2 + 1.6 * fall),
            lr: 3e-4 * (1.0 - index as f64 / 40.0),
            grad: 0.5 + fall,
            tokens_per_second: 18_240.4,
            eta: Some(Duration::from_secs(130 - index)),
        });
    }
    state.warn("step 120: the loss jumps to 4.1000, usually 1.4000");
    state.sample("Which organ pumps blood?", "The heart.");
    state.sample("What does\nthe skin do?", "It keeps us \u{1b}[31mwarm.");
    state.memory = Some(812 << 20);
    state.memory_limit = Some(16 << 30);
    state.cpu_percent = Some(187.4);
    state.input_share = Some(0.012);
    state
}

#[test]
fn pages_are_what_they_were() {
    let mut stopping = halfway();
    stopping.stopping = true;
    let cases = [
        ("halfway", page(&halfway(), 80, 24)),
        ("large", page(&stopping, 120, 36)),
        ("start", page(&State::new("run", "cpu, f32"), 80, 24)),
        ("small", page(&halfway(), 40, 10)),
    ];
    for (name, got) in cases {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.txt"));
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&file, &got).unwrap();
        }
        let want = std::fs::read_to_string(&file).unwrap();
        assert!(got == want, "{name} is now:\n{got}");
    }
}

#[test]
fn no_size_and_no_value_is_too_odd() {
    let mut odd = halfway();
    for value in [f64::NAN, f64::INFINITY, -1e300, 0.0] {
        odd.log(Row {
            step: u64::MAX,
            loss: value,
            val: Some(value),
            grad: value,
            tokens_per_second: value,
            ..Row::default()
        });
    }
    odd.name = "日本語".repeat(40);
    odd.stage = "x".repeat(300);
    odd.cpu_percent = Some(f64::NAN);
    for (width, height) in [
        (1, 1),
        (2, 40),
        (59, 15),
        (60, 16),
        (61, 17),
        (200, 8),
        (300, 100),
    ] {
        for state in [&odd, &State::default(), &halfway()] {
            let text = page(state, width, height);
            assert!(!text.contains('\u{1b}'), "{width} x {height}");
        }
    }
}

#[test]
fn a_closed_pipe_is_no_terminal() {
    // Under the test harness stderr may be a terminal or not: opening either fails, or gives a
    // dashboard that closes again with the state it was given.
    if std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        return;
    }
    let stop = std::sync::Arc::default();
    match llm_dashboard::Dashboard::open(halfway(), stop, false) {
        Ok(dashboard) => assert_eq!(dashboard.close().unwrap(), halfway()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
