//! What signals do to the server, without a runtime.

use std::io::{self, IsTerminal};
use std::thread;

use futures::channel::oneshot;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{emulate_default_handler, signal_name};

/// The signals that a terminal, an init system, a container or a person at a prompt sends, and that would end the process
/// without a word. Rust has SIGPIPE ignored from the start.
const SIGNALS: [i32; 6] = [SIGTERM, SIGQUIT, SIGINT, SIGHUP, SIGUSR1, SIGUSR2];

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// The server is to drain, and to go on accepting before.
    Drain,
    /// The server is to drain, and nobody but a person waits for that.
    DrainNow,
    /// There is nothing to read anew.
    Nothing,
}

impl Effect {
    fn of(signal: i32, at_terminal: bool) -> Self {
        match signal {
            // Images whose first server was nginx are stopped by SIGQUIT.
            SIGTERM | SIGQUIT => Self::Drain,
            SIGINT => Self::DrainNow,
            // The terminal is gone, and with it the person who started the server there.
            SIGHUP if at_terminal => Self::DrainNow,
            _ => Self::Nothing,
        }
    }
}

/// The request of a signal that the server is to drain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DrainAsked {
    /// The name of the signal.
    pub(crate) signal: &'static str,
    /// Whether the outside is to learn of it first.
    pub(crate) delayed: bool,
}

/// Resolves at the first signal that asks for a drain. From then on each such ends the process at once.
///
/// # Errors
/// When the system takes no handler or gives no thread.
pub(crate) fn first() -> io::Result<oneshot::Receiver<DrainAsked>> {
    let mut signals = Signals::new(SIGNALS)?;
    let at_terminal = io::stdin().is_terminal() || io::stderr().is_terminal();
    let (sender, receiver) = oneshot::channel();
    let watch = move || {
        let mut sender = Some(sender);
        for signal in signals.forever() {
            let effect = Effect::of(signal, at_terminal);
            let name = signal_name(signal).unwrap_or("a signal");
            if effect == Effect::Nothing {
                tracing::info!(signal = name, "signal ignored");
                continue;
            }
            let asked = DrainAsked {
                signal: name,
                delayed: effect == Effect::Drain,
            };
            let second = match sender.take() {
                Some(sender) => sender.send(asked).is_err(),
                None => true,
            };
            // The first process of a container does not die of a signal by itself.
            if second && (std::process::id() == 1 || emulate_default_handler(signal).is_err()) {
                std::process::exit(128 + signal);
            }
        }
    };
    thread::Builder::new().name("signals".into()).spawn(watch)?;
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_that_is_gone_ends_what_was_started_there() {
        assert_eq!(Effect::of(SIGHUP, true), Effect::DrainNow);
        assert_eq!(Effect::of(SIGHUP, false), Effect::Nothing);
    }
}
