//! How many clients' connections there are, up to a limit for all and one for each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::gauge::{Gauge, Permit};

/// Counts connections.
pub(crate) struct Connections {
    all: Arc<Gauge>,
    /// How many one address may have, where that is bounded.
    each: Option<usize>,
    /// How many each address has, where that is bounded.
    addresses: Mutex<HashMap<IpAddr, usize>>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// As many are open as may be.
    Full,
    /// The address has as many as one may have.
    FullForAddress,
}

impl Connections {
    pub(crate) fn new(limit: usize, each: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            all: Gauge::new(limit),
            each,
            addresses: Mutex::default(),
        })
    }

    pub(crate) fn open(&self) -> usize {
        self.all.open()
    }

    /// How many may be open: those of the flag, or as many as the limit of descriptors leaves.
    pub(crate) fn limit(&self) -> usize {
        self.all.limit()
    }

    /// Waits until nothing is open.
    pub(crate) async fn emptied(&self) {
        self.all.emptied().await;
    }

    /// A place for a connection of this address, if there is one left.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Result<ConnectionPlace, NoPlace> {
        let permit = self.all.try_acquire().ok_or(NoPlace::Full)?;
        let share = match self.each {
            Some(each) => Some(self.share(network(address), each)?),
            None => None,
        };
        Ok(ConnectionPlace {
            _share: share,
            _permit: permit,
        })
    }

    /// Counts one more for the address.
    fn share(self: &Arc<Self>, address: IpAddr, each: usize) -> Result<Share, NoPlace> {
        let mut addresses = self.addresses();
        let open = addresses.entry(address).or_default();
        if *open >= each {
            return Err(NoPlace::FullForAddress);
        }
        *open += 1;
        Ok(Share {
            connections: self.clone(),
            address,
        })
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Nothing that changes it panics.
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts as one address: a machine has the last 64 bits of its IPv6 address to choose.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(bits.into())
        }
        address => address,
    }
}

/// The place of one connection, until it is dropped.
pub(crate) struct ConnectionPlace {
    _share: Option<Share>,
    _permit: Permit,
}

/// One of those that an address has, until it is dropped.
struct Share {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut addresses = self.connections.addresses();
        if let Some(open) = addresses.get_mut(&self.address) {
            *open -= 1;
            if *open == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_its_share_and_others_have_theirs() {
        let connections = Connections::new(5, Some(2));
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let take = |text| connections.take(address(text));
        let first = take("192.0.2.1");
        let mapped = take("::ffff:192.0.2.1");
        assert!(first.is_ok() && mapped.is_ok());
        assert_eq!(take("192.0.2.1").err(), Some(NoPlace::FullForAddress));
        let machine = [take("2001:db8::1"), take("2001:db8::ffff:1")];
        assert!(machine.iter().all(Result::is_ok));
        assert_eq!(take("2001:db8::2").err(), Some(NoPlace::FullForAddress));
        let other = take("2001:db8:0:1::1");
        assert!(other.is_ok());
        assert_eq!(take("192.0.2.2").err(), Some(NoPlace::Full));
        drop(first);
        // Who finds all taken has taken nothing of its share.
        assert!(take("192.0.2.2").is_ok() && take("192.0.2.2").is_ok());
        drop((mapped, machine, other));
        assert!(connections.addresses().is_empty() && connections.open() == 0);
    }
}
