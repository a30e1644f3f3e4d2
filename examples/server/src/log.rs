//! The log. A thread of its own writes to standard error, so that nothing that serves waits for who reads there: lines
//! beyond what waits are dropped, and counted.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// The most lines that wait to be written.
const LINES: usize = 1_024;

/// How long the end of the process waits for the lines that wait.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The log of the process.
static LOG: OnceLock<Log> = OnceLock::new();

/// The lines that were dropped.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Where lines are left for the thread that writes them.
#[derive(Debug, Clone)]
pub(crate) struct Log(SyncSender<Entry>);

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// Answer when all before is written.
    Flush(SyncSender<()>),
}

/// The log of the process, which starts with the first call.
pub(crate) fn start() -> Log {
    LOG.get_or_init(|| Log::to(io::stderr())).clone()
}

/// How many lines were dropped because nobody read those before.
pub(crate) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Waits until all that waits is written; gives up where nobody reads.
pub(crate) fn flush() {
    start().flush();
}

/// Writes a last line, after all that waits; gives up where nobody reads.
pub(crate) fn end(line: &str) {
    start().end(line);
}

impl Log {
    fn to(output: impl Write + Send + 'static) -> Self {
        let (sender, entries) = sync_channel(LINES);
        // Without a thread no line is ever taken, and all are dropped.
        let _ = thread::Builder::new()
            .name("log".into())
            .spawn(move || write_out(&entries, output));
        Self(sender)
    }

    fn end(&self, line: &str) {
        self.leave(format!("{line}\n").into_bytes());
        self.flush();
    }

    fn flush(&self) {
        let (written, wait) = sync_channel(1);
        if self.0.try_send(Entry::Flush(written)).is_ok() {
            let _ = wait.recv_timeout(LAST_WORDS);
        }
    }

    /// Leaves a line to be written, or counts it.
    fn leave(&self, line: Vec<u8>) {
        if self.0.try_send(Entry::Line(line)).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes what comes, until nobody can leave anything any more.
fn write_out(entries: &Receiver<Entry>, mut output: impl Write) {
    let mut told = 0;
    for entry in entries {
        match entry {
            // Where the output is closed there is nobody to say so to.
            Entry::Line(line) => drop(output.write_all(&line)),
            Entry::Flush(written) => drop(written.try_send(())),
        }
        let dropped = dropped();
        if dropped > told {
            tracing::warn!(lines = dropped - told, "log lines dropped");
            told = dropped;
        }
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &Log {
    /// Takes a line. The layer that formats events gives each whole.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.leave(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// An output that takes a line where the test takes it.
    struct Slow(SyncSender<Vec<u8>>, Sender<()>);

    impl Write for Slow {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.1.send(());
            let sent = self.0.send(line.to_vec());
            sent.map(|()| line.len()).map_err(io::Error::other)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_writes_never_waits_for_who_reads() {
        let (written, read) = sync_channel(0);
        let (begun, begin) = channel();
        let log = Log::to(Slow(written, begun));
        let leave = |number: usize| {
            let line = number.to_string();
            (&log).write_all(line.as_bytes()).unwrap();
        };
        leave(0);
        // The thread has the first, and stands.
        begin.recv().unwrap();
        let before = dropped();
        (1..LINES + 8).for_each(leave);
        assert_eq!(dropped() - before, 7);
        // Neither does the end wait for long, with a queue that has no room for its line.
        log.end("the end");
        for number in 0..=LINES {
            assert_eq!(read.recv().unwrap(), number.to_string().into_bytes());
        }
    }

    #[test]
    fn the_end_comes_after_all_that_waits() {
        let (written, read) = sync_channel(8);
        let log = Log::to(Slow(written, channel().0));
        (&log).write_all(b"first\n").unwrap();
        log.end("error: the end");
        let lines: Vec<_> = read.try_iter().collect();
        assert_eq!(lines, [&b"first\n"[..], b"error: the end\n"]);
    }
}
