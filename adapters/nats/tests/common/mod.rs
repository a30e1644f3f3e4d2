//! Servers with a configuration, and links with the waiting done.

use std::fs;
use std::path::{Path, PathBuf};

use futures::StreamExt;
use midplane_core::bus::{Bus, BusError, BusErrorKind, Lane, Link, Outbound};
use midplane_nats::Nats;
use midplane_testkit::server::Server;
use midplane_testkit::within;
use tempfile::TempDir;

/// A server with this configuration, in a file that can be changed.
pub(crate) fn configured(text: &str) -> (Server, PathBuf, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("nats.conf");
    fs::write(&path, text).expect("it is writable");
    let server = Server::nats_with(&["--config", text_of(&path)]);
    (server, path, directory)
}

pub(crate) fn text_of(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

pub(crate) fn outbound(lane: u32) -> [Outbound; 1] {
    [Outbound {
        lane: Lane(lane),
        frame: "frame".into(),
    }]
}

pub(crate) async fn connect(bus: &Nats) -> Result<Link, BusError> {
    within("connecting", bus.connect()).await
}

/// Requires that the bus carries a frame.
pub(crate) async fn works(bus: &Nats) {
    let mut link = connect(bus).await.expect("a link");
    let subscribed = link.transmit.subscribe(&[Lane(0)]);
    within("subscribing", subscribed).await.expect("subscribed");
    let frames = outbound(0);
    let sent = link.transmit.send(&frames);
    within("sending", sent).await.expect("sent");
    let heard = within("the frame", link.frames.next()).await;
    assert_eq!(heard.expect("one").expect("a frame").frame, "frame");
}

pub(crate) async fn end(link: &mut Link) -> BusErrorKind {
    loop {
        match within("the end", link.frames.next()).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => return error.kind(),
            None => panic!("the stream ends without a reason"),
        }
    }
}
