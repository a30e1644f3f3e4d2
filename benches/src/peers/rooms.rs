//! The broadcast of socketioxide: its local adapter, which maps rooms to ids of sockets, and the map of sockets that its
//! namespaces have behind that.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::stream::{self, Empty};
use midplane::{Audience, ConnectionId, Event, Target, Verdict};
use socketioxide_core::adapter::errors::SocketError;
use socketioxide_core::adapter::{
    BroadcastIter, BroadcastOptions, CoreLocalAdapter, RemoteSocketData, SocketEmitter,
};
use socketioxide_core::packet::Packet;
use socketioxide_core::parser::Parse;
use socketioxide_core::{Sid, Str, Uid, Value};
use socketioxide_parser_common::CommonParser;

use super::{Closure, MeasuredPlane, target};

/// Sockets by their ids.
type Sockets = Arc<RwLock<HashMap<Sid, Closure>>>;

/// socketioxide's local adapter.
#[expect(missing_debug_implementations, reason = "closures have none")]
pub struct Rooms {
    adapter: CoreLocalAdapter<Emitter>,
    sockets: Sockets,
    /// Deliveries of the last broadcast, which the adapter does not count.
    delivered: Arc<AtomicUsize>,
    last: Option<Sid>,
}

impl MeasuredPlane for Rooms {
    const NAME: &'static str = "socketioxide's local adapter";

    fn empty() -> Self {
        let (sockets, delivered) = (Sockets::default(), Arc::<AtomicUsize>::default());
        Self {
            adapter: CoreLocalAdapter::new(Emitter {
                sockets: sockets.clone(),
                delivered: delivered.clone(),
                path: Str::from("/"),
            }),
            sockets,
            delivered,
            last: None,
        }
    }

    fn attach(
        &mut self,
        id: &ConnectionId,
        sink: impl Fn(&Event) -> Verdict + Send + Sync + 'static,
    ) {
        let sid = Sid::new();
        let mut sockets = self.sockets.write().unwrap_or_else(PoisonError::into_inner);
        sockets.insert(sid, Arc::new(sink));
        drop(sockets);
        self.last = Some(sid);
        self.join_last(&Target::Connection(id.clone()));
    }

    fn join_last(&mut self, target: &Target) {
        if let Some(sid) = self.last {
            self.adapter.add_all(sid, room(target));
        }
    }

    fn detach_last(&mut self) {
        if let Some(sid) = self.last.take() {
            self.adapter.del_all(sid);
            let mut sockets = self.sockets.write().unwrap_or_else(PoisonError::into_inner);
            sockets.remove(&sid);
        }
    }

    fn publish(&self, audience: &Audience, event: &Event) -> usize {
        let Some(target) = target(audience) else {
            return 0;
        };
        let mut options = BroadcastOptions::default();
        options.rooms.push(room(target).into());
        let text = event.as_text().unwrap_or_default().to_owned();
        let packet = Packet::event("/", Value::Str(text.into(), None));
        match self.adapter.broadcast(packet, options) {
            Ok(()) => self.delivered.load(Ordering::Relaxed),
            Err(_) => 0,
        }
    }
}

/// A name for each target.
fn room(target: &Target) -> String {
    format!("{}:{}", target.kind().as_str(), target.id())
}

/// Acknowledgements, of which there are none.
type Acks = Empty<(Sid, Result<Value, SocketError>)>;

struct Emitter {
    sockets: Sockets,
    delivered: Arc<AtomicUsize>,
    path: Str,
}

impl SocketEmitter for Emitter {
    type AckError = SocketError;
    type AckStream = Acks;

    fn get_all_sids(&self, _: impl Fn(&Sid) -> bool) -> Vec<Sid> {
        Vec::new()
    }

    fn get_remote_sockets(&self, _: BroadcastIter<'_>) -> Vec<RemoteSocketData> {
        Vec::new()
    }

    fn send_many(&self, sids: BroadcastIter<'_>, data: Value) -> Result<(), Vec<SocketError>> {
        let Value::Str(text, _) = data else {
            return Ok(());
        };
        let event = Event::text(text.as_str());
        let sockets = self.sockets.read().unwrap_or_else(PoisonError::into_inner);
        let accepted = sids
            .filter_map(|sid| sockets.get(&sid))
            .filter(|socket| socket(&event) == Verdict::Accepted)
            .count();
        self.delivered.store(accepted, Ordering::Relaxed);
        Ok(())
    }

    fn send_many_with_ack(
        &self,
        _: BroadcastIter<'_>,
        _: Packet,
        _: Option<Duration>,
    ) -> (Acks, u32) {
        (stream::empty(), 0)
    }

    fn disconnect_many(&self, _: Vec<Sid>) -> Result<(), Vec<SocketError>> {
        Ok(())
    }

    fn path(&self) -> &Str {
        &self.path
    }

    fn parser(&self) -> impl Parse {
        CommonParser
    }

    fn server_id(&self) -> Uid {
        Uid::ZERO
    }

    fn ack_timeout(&self) -> Duration {
        Duration::ZERO
    }
}
