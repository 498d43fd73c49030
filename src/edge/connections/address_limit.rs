//! The limit of connections by client address (`admission.max_per_address`).

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use parking_lot::Mutex;

/// How many connections each client address has.
#[derive(Debug, Default)]
pub(crate) struct AddressLimit(Mutex<HashMap<IpAddr, u32>>);

/// One of the connections that an address may have. Dropping it frees the place for another connection.
#[derive(Debug)]
pub(crate) struct AddressPermit {
    addresses: Arc<AddressLimit>,
    address: IpAddr,
}

/// The address has as many connections as it may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl AddressLimit {
    /// Counts a connection of an address, of which it may have `most`; 0 is no limit, and counts nothing.
    pub fn acquire(
        self: &Arc<Self>,
        address: IpAddr,
        most: u32,
    ) -> Result<Option<AddressPermit>, TooMany> {
        if most == 0 {
            return Ok(None);
        }
        let address = subscriber(address);
        let mut counts = self.0.lock();
        let count = counts.entry(address).or_default();
        if *count >= most {
            return Err(TooMany);
        }
        *count += 1;
        Ok(Some(AddressPermit { addresses: self.clone(), address }))
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut counts = self.addresses.0.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// The address that connections are counted by. A client with IPv6 has a network of 64 bits, so its first 64 bits count.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let addresses = Arc::<AddressLimit>::default();
        let [one, same, other]: [IpAddr; 3] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|text| text.parse().unwrap());
        let first = addresses.acquire(one, 2).unwrap();
        let _second = addresses.acquire(same, 2).unwrap();
        assert_eq!(addresses.acquire(one, 2).unwrap_err(), TooMany);
        assert!(addresses.acquire(other, 2).is_ok());
        drop(first);
        assert!(addresses.acquire(same, 2).is_ok());
    }

    #[test]
    fn nothing_is_kept_of_addresses_that_have_left() {
        let addresses = Arc::<AddressLimit>::default();
        drop(addresses.acquire([10, 0, 0, 1].into(), 1).unwrap());
        assert!(addresses.0.lock().is_empty());
    }
}
