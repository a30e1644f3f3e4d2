//! What a plane writes to the log: nothing at WARN in a start that succeeds, and an outage in few lines.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use midplane::{Builder, Memory, Notice, State};
use midplane_testkit::{eventually, within};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// The lines of the levels above information.
    fn warnings(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(str::trim);
        let warnings = lines.filter(|line| line.starts_with("WARN") || line.starts_with("ERROR"));
        warnings.map(ToOwned::to_owned).collect()
    }

    fn has(&self, phrase: &str) -> bool {
        String::from_utf8_lossy(&self.0.lock().unwrap()).contains(phrase)
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[test]
fn a_start_warns_of_nothing_and_an_outage_is_said_once() {
    let lines = Lines::default();
    tracing_subscriber::fmt()
        .with_writer(lines.clone())
        .with_ansi(false)
        .without_time()
        .init();
    let bus = Memory::new();
    smol::block_on(async {
        let plane = Builder::bus(Arc::new(bus.clone())).connect().await.unwrap();
        eventually("the start is logged", || lines.has("backplane live")).await;
        assert_eq!(lines.warnings(), Vec::<String>::new());

        let mut notices = plane.notices();
        bus.block();
        let becomes = async |notices: &mut futures::stream::BoxStream<'static, Notice>, state| {
            let reached = async { while notices.next().await != Some(Notice::State(state)) {} };
            within(format!("{state}"), reached).await;
        };
        becomes(&mut notices, State::Degraded).await;
        // The link is lost, and three attempts to open another fail.
        let mut failures = 0;
        while failures < 4 {
            let notice = within("another attempt", notices.next()).await;
            failures += usize::from(matches!(notice, Some(Notice::Bus(_))));
        }
        bus.unblock();
        becomes(&mut notices, State::Live).await;
        eventually("the end is logged", || lines.has("backplane live outage=")).await;
        let warnings = lines.warnings();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        for phrase in ["bus link lost", "backplane degraded"] {
            let said = warnings.iter().filter(|line| line.contains(phrase)).count();
            assert_eq!(said, 1, "{phrase}: {warnings:?}");
        }
        plane.close().await;
        eventually("the close is logged", || lines.has("backplane closed")).await;
    });
}
