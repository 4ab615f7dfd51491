//! The dashboard on a real terminal.
//!
//! It draws on stderr, on the terminal's other screen, from a thread of its own, so that the page
//! stays alive while a step computes. Whatever ends the program by its own will (the end, an error, a
//! panic of any thread) gives the terminal back first.

use std::io::{self, Stderr, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};

use crate::draw::draw;
use crate::state::State;

/// Between two drawings, and the longest time that a key waits.
const REDRAW: Duration = Duration::from_millis(200);

/// Whether the terminal is ours and has to be given back.
static TAKEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// A dashboard that is shown until it is closed or dropped.
#[derive(Debug)]
pub struct Dashboard {
    state: Arc<Mutex<State>>,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Dashboard {
    /// Takes the terminal and shows `state`; `q`, Escape and Ctrl-C raise `stop`.
    ///
    /// # Errors
    /// stderr is no terminal that can be taken.
    pub fn open(state: State, stop: Arc<AtomicBool>, color: bool) -> io::Result<Self> {
        let terminal = take()?;
        let state = Arc::new(Mutex::new(state));
        let closing = Arc::new(AtomicBool::new(false));
        let (shown, until) = (Arc::clone(&state), Arc::clone(&closing));
        let thread = std::thread::spawn(move || {
            let result = show(terminal, &shown, (&stop, &until), color);
            give_back();
            result
        });
        Ok(Self {
            state,
            closing,
            thread: Some(thread),
        })
    }

    /// Changes what is shown.
    pub fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut locked(&self.state));
    }

    /// Gives the terminal back; the last state.
    ///
    /// # Errors
    /// The terminal refused to be drawn on.
    pub fn close(mut self) -> io::Result<State> {
        let result = self.finish();
        let state = locked(&self.state).clone();
        result.map(|()| state)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.closing.store(true, Ordering::SeqCst);
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        // A thread that panicked has given the terminal back in its hook.
        thread.join().unwrap_or(Ok(()))
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let _ = self.finish();
        give_back();
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Draws until `until` is raised.
fn show(
    mut terminal: Terminal<CrosstermBackend<Stderr>>,
    state: &Mutex<State>,
    (stop, until): (&AtomicBool, &AtomicBool),
    color: bool,
) -> io::Result<()> {
    while !until.load(Ordering::SeqCst) {
        let now = locked(state).clone();
        terminal.draw(|frame| draw(frame, &now, color))?;
        if !event::poll(REDRAW)? {
            continue;
        }
        if let Event::Key(key) = event::read()?
            && stops(&key)
        {
            stop.store(true, Ordering::SeqCst);
            locked(state).stopping = true;
        }
    }
    Ok(())
}

/// Whether a key asks the run to stop. A terminal that is ours gives Ctrl-C as a key, not a signal.
fn stops(key: &KeyEvent) -> bool {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind != KeyEventKind::Release
        && match key.code {
            KeyCode::Char('q' | 'Q') | KeyCode::Esc => true,
            KeyCode::Char('c') => control,
            _ => false,
        }
}

fn take() -> io::Result<Terminal<CrosstermBackend<Stderr>>> {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
        }));
    });
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    let entered = execute!(io::stderr(), EnterAlternateScreen, cursor::Hide)
        .and_then(|()| Terminal::new(CrosstermBackend::new(io::stderr())));
    if entered.is_err() {
        give_back();
    }
    entered
}

/// Gives the terminal back, once.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let mut out = io::stderr();
        let _ = execute!(out, LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
        let _ = out.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_escape_and_control_c_stop_and_nothing_else() {
        let key = |code, modifiers| KeyEvent::new(code, modifiers);
        let none = KeyModifiers::NONE;
        assert!(stops(&key(KeyCode::Char('q'), none)));
        assert!(stops(&key(KeyCode::Esc, none)));
        assert!(stops(&key(KeyCode::Char('c'), KeyModifiers::CONTROL)));
        assert!(!stops(&key(KeyCode::Char('c'), none)));
        assert!(!stops(&key(KeyCode::Enter, none)));
        let released = KeyEvent::new_with_kind(KeyCode::Char('q'), none, KeyEventKind::Release);
        assert!(!stops(&released));
    }
}
