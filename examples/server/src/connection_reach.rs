//! How far a connection reaches, followed for as long as it lives.

use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use midplane::Reach;

use crate::client::Client;
use crate::live_watch::LiveWatcher;

/// The time after which the targets of a connection are asked about again on a node that is live and does
/// not reach them all: a lane is being subscribed.
const AGAIN: Duration = Duration::from_millis(100);

/// Follows whether publishers on every node reach a connection in all its targets, and says when that changes.
pub(crate) struct ConnectionReach {
    watcher: LiveWatcher,
    /// Ends when all targets reach every node; there is one while the node is live and they do not.
    settling: Option<BoxFuture<'static, ()>>,
}

impl ConnectionReach {
    pub(crate) fn new(watcher: LiveWatcher) -> Self {
        Self {
            watcher,
            settling: None,
        }
    }

    /// Has the task woken when the node becomes live or stops being so.
    pub(crate) fn watch(&self, context: &Context<'_>) {
        self.watcher.poll(context);
    }

    /// How far the connection reaches, if that is not what its client was told last.
    pub(crate) fn change(
        &mut self,
        client: &Arc<Client>,
        context: &mut Context<'_>,
    ) -> Option<Reach> {
        let live = self.watcher.poll(context);
        if !live || client.reaches_everywhere() {
            self.settling = None;
            // Where the server shuts down, its client is told that instead.
            let told = !live && client.reaches_everywhere() && client.app.is_open();
            return told.then(|| client.says(Reach::Here));
        }
        let settling = self
            .settling
            .get_or_insert_with(|| settle(client.clone()).boxed());
        settling.poll_unpin(context).is_ready().then(|| {
            self.settling = None;
            client.says(Reach::Everywhere)
        })
    }
}

/// Waits until every target of the client reaches every node. The targets are all asked in the one turn in which
/// this ends, so that one which the client joined meanwhile is among them.
async fn settle(client: Arc<Client>) {
    while !reaches_everywhere(&client) {
        client.app.runtime.timer.sleep(AGAIN).await;
    }
}

fn reaches_everywhere(client: &Client) -> bool {
    let attachment = &client.attachment;
    let targets = attachment.targets();
    // A connection that is detached is in no target, and its client is told of that alone.
    !targets.is_empty()
        && targets
            .iter()
            .all(|target| attachment.reach(target) == Some(Reach::Everywhere))
}
