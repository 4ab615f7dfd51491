//! Ctrl-C and SIGTERM: the first one lets the loop finish its step and write a checkpoint, the
//! second one ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result};
use llm_show::LookArgs;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// What a shell adds to the number of a signal that ended a program.
const SIGNALLED: i32 = 128;

/// The exit code of a run that was asked to stop, where nobody knows by which signal.
const ASKED: u8 = 130;

/// What came so far.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    stop: Arc<AtomicBool>,
    which: Arc<AtomicUsize>,
}

impl Signals {
    /// Listens from now on.
    pub(crate) fn listen() -> Result<Self> {
        let signals = Self {
            stop: Arc::new(AtomicBool::new(false)),
            which: Arc::new(AtomicUsize::new(0)),
        };
        for signal in [SIGINT, SIGTERM] {
            let Self { stop, which } = signals.clone();
            // In this order: the first signal finds the flag down and raises it, the second one up.
            flag::register_conditional_shutdown(signal, SIGNALLED + signal, Arc::clone(&stop))
                .and_then(|_| flag::register_usize(signal, which, signal.unsigned_abs() as usize))
                .and_then(|_| flag::register(signal, stop))
                .context("cannot listen for signals")?;
        }
        Ok(signals)
    }

    /// Raised when the run is to stop.
    pub(crate) fn stop(&self) -> &Arc<AtomicBool> {
        &self.stop
    }

    /// The program's exit code: a run that was stopped is reported here, because the code is the
    /// signal's.
    pub(crate) fn code(&self, result: Result<()>, look: &LookArgs) -> Result<u8> {
        let error = match result {
            Ok(()) => return Ok(0),
            Err(error) => error,
        };
        let which = self.which.load(Ordering::SeqCst);
        if which == 0 || !is_interruption(&error) {
            return Err(error);
        }
        if !is_of_another(&error) {
            crate::failure::report(&error, look);
        }
        Ok(u8::try_from(SIGNALLED as usize + which)?)
    }
}

/// Whether a run or an evaluation stopped because it was asked to, in this process or in another one
/// of its run.
fn is_interruption(error: &anyhow::Error) -> bool {
    use llm_train::Error::{Interrupted, Peer, Stopped};
    let stopped = error.downcast_ref::<llm_train::Error>();
    matches!(
        stopped,
        Some(Interrupted { .. } | Stopped { .. } | Peer { code: ASKED, .. })
    )
}

/// Whether another process of the run says it.
fn is_of_another(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<llm_train::Error>();
    matches!(error, Some(llm_train::Error::Peer { .. }))
}
