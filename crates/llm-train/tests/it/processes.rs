//! Several processes: sums, gradients, failures. Here they are threads that talk over TCP as processes
//! do; `deeper train` starts real ones in its own tests.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use candle_core::{DType, Device, Tensor};
use llm_core::nn::Pass;
use llm_core::ops::Ops;
use llm_train::batch::Batch;
use llm_train::model::LanguageModel;
use llm_train::processes::launch::{Address, TOKEN_BYTES};
use llm_train::processes::tcp::Tcp;
use llm_train::processes::{Processes, Transport, digest};
use llm_train::{Error, Result};

use crate::kit::{examples, trainable};
use crate::steps::{batches, stepper};

/// The same f32 products, added up in another order.
const CLOSE_F32: f64 = 1e-6;
/// The same in f64.
const CLOSE_F64: f64 = 1e-12;
/// Longer than a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// An address of this machine where nobody listens.
pub(crate) fn address() -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    Address {
        host: "127.0.0.1".into(),
        ports: port..=port,
        token: [7; TOKEN_BYTES],
        patience: PATIENCE,
    }
}

/// What `work` comes to in each of `size` processes.
pub(crate) fn among<T: Send>(size: usize, work: impl Fn(&Processes) -> T + Sync) -> Vec<T> {
    let address = address();
    std::thread::scope(|scope| {
        let start = |rank: usize| {
            let (address, work) = (&address, &work);
            scope.spawn(move || {
                let tcp = Tcp::meet(rank, size, address).unwrap();
                work(&Processes::new(Box::new(tcp), rank))
            })
        };
        let threads: Vec<_> = (0..size).map(start).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

#[test]
fn sums_are_taken_in_the_order_of_processes_and_are_the_same_everywhere() {
    // Magnitudes so far apart that the order decides over the last bits.
    let value = |rank: usize, i: usize| ((i % 97) as f32 + 0.1) * 1000f32.powi(rank as i32 - 1);
    for size in [2, 3, 5] {
        for length in [0, 1, 7, 70_000] {
            let want: Vec<u32> = (0..length)
                .map(|i| {
                    let first = value(0, i);
                    (1..size)
                        .fold(first, |sum, rank| sum + value(rank, i))
                        .to_bits()
                })
                .collect();
            let backwards = (0..length).any(|i| {
                let last = value(size - 1, i);
                let sum = (0..size - 1)
                    .rev()
                    .fold(last, |sum, rank| sum + value(rank, i));
                sum.to_bits() != want[i]
            });
            let visible = size > 2 && length > 100;
            assert!(backwards || !visible, "the order does not show");
            let found = among(size, |processes| {
                let mut own: Vec<f32> = (0..length).map(|i| value(processes.rank(), i)).collect();
                let mut parameters = llm_core::params::Parameters::default();
                let var = candle_core::Var::zeros(length.max(1), DType::F32, &Device::Cpu);
                parameters.insert("x", var.unwrap());
                own.resize(length.max(1), 0.0);
                let own = Tensor::from_vec(own, length.max(1), &Device::Cpu).unwrap();
                let mut gradients = BTreeMap::from([("x".to_owned(), own)]);
                processes
                    .sum_gradients(&parameters, &mut gradients)
                    .unwrap();
                let mut sums: Vec<f32> = gradients["x"].to_vec1().unwrap();
                sums.truncate(length);
                sums.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            });
            assert!(found.iter().all(|sums| *sums == want), "{size}, {length}");
        }
    }
}

#[test]
fn shares_are_neighbours_and_cover_all() {
    for size in [2, 3, 4] {
        for count in [0, 1, 5, 12] {
            let shares = among(size, |processes| processes.share(count));
            let covered: Vec<usize> = shares.iter().cloned().flatten().collect();
            assert_eq!(covered, (0..count).collect::<Vec<_>>());
            let lengths: Vec<usize> = shares.iter().map(|share| share.len()).collect();
            let (most, least) = (lengths.iter().max(), lengths.iter().min());
            assert!(most.unwrap() - least.unwrap() <= 1, "{lengths:?}");
        }
    }
}

/// Loss and gradients of `count` rows of unequal lengths, in micro-batches of two. A mean of the
/// processes' means, the usual mistake, where `of_means`.
fn gradients(
    processes: &Processes,
    dtype: DType,
    count: usize,
    of_means: bool,
) -> (f64, BTreeMap<String, Vec<f64>>) {
    let (model, parameters) = trainable(dtype);
    let rows = examples(count);
    let supervised = |batches: &[Batch]| batches.iter().map(|b| b.supervised).sum::<usize>() as f64;
    let own = batches(&rows[processes.share(count)], 2);
    let scale = match of_means {
        true => 1.0 / (supervised(&own) * processes.size() as f64),
        false => 1.0 / supervised(&batches(&rows, 2)),
    };
    let loss = |micro: usize| Ok(model.loss(&own[micro], &Pass::eval(Ops::Fused), scale)?);
    let mut stepper = stepper(parameters);
    let found = stepper.gradients(processes, own.len(), loss).unwrap();
    let flat = |tensor: &Tensor| {
        let flat = tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap();
        flat.to_vec1().unwrap()
    };
    let sums = found.sums.iter();
    (
        found.loss,
        sums.map(|(name, sum)| (name.clone(), flat(sum))).collect(),
    )
}

/// The largest difference and its tensor.
fn difference(a: &BTreeMap<String, Vec<f64>>, b: &BTreeMap<String, Vec<f64>>) -> (f64, String) {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    let of = |name: &String| {
        let pairs = a[name].iter().zip(&b[name]);
        let gap = pairs.fold(0.0f64, |most, (x, y)| most.max((x - y).abs()));
        (gap, name.clone())
    };
    a.keys().map(of).max_by(|x, y| x.0.total_cmp(&y.0)).unwrap()
}

#[test]
fn gradients_of_several_processes_are_those_of_one_with_all_rows() {
    for (dtype, tolerance) in [(DType::F32, CLOSE_F32), (DType::F64, CLOSE_F64)] {
        // Of two rows, the third process has none.
        for (size, count) in [(2, 11), (3, 11), (3, 2)] {
            let (loss, whole) = gradients(&Processes::alone(), dtype, count, false);
            let shared = among(size, |processes| gradients(processes, dtype, count, false));
            assert!(
                shared.iter().all(|found| *found == shared[0]),
                "all have the same bits"
            );
            let (gap, name) = difference(&whole, &shared[0].1);
            println!("{dtype:?}, {count} rows, {size} processes: largest difference {gap:e}");
            assert!(
                gap <= tolerance,
                "{gap:e} in {name}, tolerance {tolerance:e}"
            );
            assert!(
                (loss - shared[0].0).abs() <= tolerance,
                "{loss} {}",
                shared[0].0
            );
        }
        let (_, whole) = gradients(&Processes::alone(), dtype, 11, false);
        let wrong = among(2, |processes| gradients(processes, dtype, 11, true));
        let (gap, _) = difference(&whole, &wrong[0].1);
        assert!(gap > 1e-4, "a mean of means differs by {gap:e} only");
    }
}

/// One step of two processes, of which the second one's loss is `bad`; every process's error, after
/// it has been seen that no parameter has changed.
fn failing_step(bad: impl Fn(&Tensor) -> Result<Tensor> + Sync) -> Vec<Error> {
    among(2, |processes| {
        let (model, parameters) = trainable(DType::F32);
        let own = batches(&examples(4)[processes.share(4)], 2);
        let mut stepper = stepper(parameters);
        let before = digest(&stepper.parameters).unwrap();
        let loss = |micro: usize| {
            let loss = model.loss(&own[micro], &Pass::eval(Ops::Fused), 0.1)?;
            match processes.rank() {
                0 => Ok(loss),
                _ => bad(&loss),
            }
        };
        let error = stepper.step_among(processes, own.len(), loss).unwrap_err();
        assert_eq!(digest(&stepper.parameters).unwrap(), before);
        error
    })
}

#[test]
fn a_loss_that_is_no_number_in_one_process_stops_all() {
    for value in [f64::NAN, f64::INFINITY] {
        for error in failing_step(|loss| Ok((loss * value)?)) {
            assert_eq!(error.exit_code(), 4);
            assert!(
                error.to_string().starts_with("step 1: the loss is "),
                "{error}"
            );
        }
    }
    // A gradient that is none under a loss that is one: √x at 0 has no slope.
    for error in failing_step(|loss| Ok((loss + (loss - loss)?.sqrt()?)?)) {
        assert_eq!(error.exit_code(), 4);
        assert!(
            error.to_string().contains("step 1: the gradient of `"),
            "{error}"
        );
    }
}

#[test]
fn an_error_of_one_process_is_told_to_the_others() {
    let errors = failing_step(|_| Err(Error::input("batch", "is\nnothing")));
    let [first, second] = errors.as_slice() else {
        panic!("expected two");
    };
    assert_eq!(second.to_string(), "batch: is\nnothing");
    assert_eq!(first.to_string(), "process 1: batch: is nothing");
    assert_eq!((first.exit_code(), second.exit_code()), (2, 2));
}

#[test]
fn processes_that_differ_refuse_to_go_on() {
    let found = among(3, |processes| {
        processes.check_same("the weather", [7; 32]).unwrap();
        let own = [u8::from(processes.rank() == 2); 32];
        processes
            .check_same("the weights", own)
            .unwrap_err()
            .to_string()
    });
    let said = "the weights: process 2 has other ones than process 0";
    assert_eq!(found[0], said);
    for other in &found[1..] {
        assert_eq!(*other, format!("process 0: {said}"));
    }
}

#[test]
fn a_text_of_the_leader_comes_to_all() {
    let path = "runs/2026-01-01 é";
    let texts = among(3, |processes| {
        let own = if processes.leads() { path } else { "mine" };
        let long = "x".repeat(5000);
        let refused = processes.text(&long).unwrap_err().to_string();
        assert!(refused.contains("more than 4 KiB"), "{refused}");
        processes.text(own).unwrap()
    });
    assert_eq!(texts, [path; 3]);
}

#[test]
fn a_process_that_has_gone_or_given_up_is_named_at_once() {
    let gone = among(2, |processes| match processes.rank() {
        0 => processes.any(true).map(|_| String::new()),
        _ => Ok(String::new()), // and away
    });
    let error = gone[0].as_ref().unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("process 1 has gone"), "{error}");
    assert!(error.hint().unwrap().contains("torchrun"));
    // The second one gives up, the first one passes it on to the third.
    let said = among(3, |processes| {
        let error = match processes.rank() {
            1 => Error::input("a", "b"),
            _ => processes.any(false).unwrap_err(),
        };
        let text = error.to_string();
        processes.part(Some((error.exit_code(), &text)));
        (error.exit_code(), text)
    });
    assert_eq!(said[0], (2, "process 1: a: b".to_owned()));
    assert_eq!(said[2], (2, "process 0: process 1: a: b".to_owned()));
}

#[test]
fn a_silent_process_is_not_waited_for_for_ever() {
    let mut address = address();
    address.patience = Duration::from_secs(3);
    let (done, wait) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let there = &address;
        scope.spawn(move || {
            let silent = Tcp::meet(1, 2, there).unwrap();
            let _ = wait.recv(); // until the other one has had enough
            drop(silent);
        });
        let first = Processes::new(Box::new(Tcp::meet(0, 2, there).unwrap()), 0);
        let error = first.any(false).unwrap_err().to_string();
        drop(done);
        assert!(
            error.contains("process 1 has been silent for 3 seconds"),
            "{error}"
        );
    });
}

#[test]
fn who_does_not_belong_is_refused_with_the_variable_that_is_wrong() {
    let meet = |ranks: [(usize, usize); 2], patience: u64| -> Vec<String> {
        let mut address = address();
        address.patience = Duration::from_secs(patience);
        std::thread::scope(|scope| {
            let start = |(rank, size)| {
                let address = &address;
                scope.spawn(move || Tcp::meet(rank, size, address).unwrap_err().to_string())
            };
            let threads: Vec<_> = ranks.into_iter().map(start).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        })
    };
    for error in meet([(0, 2), (1, 3)], 60) {
        assert!(
            error.contains("WORLD_SIZE: is 3 for process 1 and 2 for"),
            "{error}"
        );
    }
    for error in meet([(0, 2), (2, 2)], 60) {
        assert!(error.contains("RANK: is 2, expected 0 to 1"), "{error}");
    }
    // One comes, of three; and two without a first one.
    let late = meet([(0, 3), (1, 3)], 3);
    for error in late {
        assert!(error.contains("2 of 3 came within 3 seconds"), "{error}");
    }
    for error in meet([(1, 3), (2, 3)], 1) {
        assert!(error.contains("no process 0 at 127.0.0.1:"), "{error}");
    }
}

/// A message of processes, as they write it.
fn message(kind: u8, length: u64, bytes: &[u8]) -> Vec<u8> {
    let mut message = b"LDPR".to_vec();
    message.extend([kind, 0, 0, 0]);
    message.extend(length.to_le_bytes());
    message.extend(bytes);
    message
}

/// A connection to the first process, as soon as there is one.
fn connect(address: &Address) -> TcpStream {
    let place = (address.host.as_str(), *address.ports.start());
    for _ in 0..3000 {
        if let Ok(stream) = TcpStream::connect(place) {
            return stream;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("nobody listens at {place:?}");
}

#[test]
fn strangers_are_sent_away_and_lies_about_lengths_cost_nothing() {
    let address = address();
    let mut hello = vec![7u8; TOKEN_BYTES];
    hello.extend([1, 0, 0, 0, 2, 0, 0, 0]);
    std::thread::scope(|scope| {
        let there = &address;
        let first = scope.spawn(move || Tcp::meet(0, 2, there));
        for nonsense in [
            b"GET / HTTP/1.1\r\nHost: here\r\n\r\n".to_vec(),
            message(1, u64::MAX, &hello),
            message(9, 24, &hello),
            message(1, 24, &[8; 24]), // of another launch
        ] {
            let mut stranger = connect(there);
            stranger.write_all(&nonsense).unwrap();
            let mut answer = Vec::new();
            // Closed, with or without a word of TCP's about unread bytes.
            let _ = stranger.read_to_end(&mut answer);
            assert!(answer.is_empty(), "{answer:?}");
        }
        let mut liar = connect(there);
        liar.write_all(&message(1, 24, &hello)).unwrap();
        let first = first.join().unwrap().unwrap();
        liar.write_all(&message(5, 1 << 60, &[0; 64])).unwrap();
        let error = first.sum_f32(&mut [1.0; 16]).unwrap_err().to_string();
        assert!(error.contains("process 1 is at another place"), "{error}");
        let error = first.gather(&[1], &mut [0; 3]).unwrap_err().to_string();
        assert!(error.contains("has 3 bytes"), "{error}");
    });
}
