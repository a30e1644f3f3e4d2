//! The signals that end the server, without a runtime.

use std::io;
use std::thread;

use futures::channel::oneshot;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// Resolves at the first SIGTERM or SIGINT. From then on either ends the process at once.
///
/// # Errors
/// When the system takes no handler or gives no thread.
pub(crate) fn first() -> io::Result<oneshot::Receiver<()>> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let (sender, receiver) = oneshot::channel();
    let watch = move || {
        let mut sender = Some(sender);
        for signal in signals.forever() {
            let second = match sender.take() {
                Some(sender) => sender.send(()).is_err(),
                None => true,
            };
            if second && emulate_default_handler(signal).is_err() {
                std::process::exit(1);
            }
        }
    };
    thread::Builder::new().name("signals".into()).spawn(watch)?;
    Ok(receiver)
}
