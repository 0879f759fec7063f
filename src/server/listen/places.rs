//! How many connections there may be, in all and from one address. A place is given back when it is dropped.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Networks;

/// The caps and who is here.
pub(super) struct Places {
    all: usize,
    per_address: usize,
    /// Proxies: behind the address of one are many clients.
    uncounted: Networks,
    /// How many connections each address has, and in all.
    taken: Mutex<(HashMap<IpAddr, usize>, usize)>,
}

/// The right to hold one connection open.
pub(super) struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

impl Places {
    pub(super) fn new(all: usize, per_address: usize, uncounted: Networks) -> Arc<Places> {
        Arc::new(Places { all: all.max(1), per_address: per_address.max(1), uncounted, taken: Mutex::default() })
    }

    /// A place for a connection from `address`; `None` above a cap.
    pub(super) fn take(self: &Arc<Places>, address: IpAddr) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (addresses, all) = &mut *taken;
        let here = addresses.get(&address).copied().unwrap_or(0);
        if *all >= self.all || (here >= self.per_address && !self.uncounted.contains(address)) {
            return None;
        }
        *all += 1;
        addresses.insert(address, here + 1);
        Some(Place { places: self.clone(), address })
    }

    /// More than 80 % of all places are taken.
    pub(super) fn crowded(&self) -> bool {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.1 > self.all / 5 * 4
    }
}

impl Place {
    pub(super) fn places(&self) -> &Places {
        &self.places
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (addresses, all) = &mut *taken;
        *all -= 1;
        match addresses.get_mut(&self.address) {
            Some(here) if *here > 1 => *here -= 1,
            _ => drop(addresses.remove(&self.address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_given_back_is_free_again() {
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let places = Places::new(5, 3, Networks::default());
        let mut mine: Vec<_> = (0..3).filter_map(|_| places.take(one)).collect();
        assert_eq!(mine.len(), 3);
        assert!(places.take(one).is_none(), "the cap per address");
        let others: Vec<_> = (0..3).filter_map(|_| places.take(other)).collect();
        assert_eq!(others.len(), 2, "the cap in all");
        assert!(places.crowded());
        mine.pop();
        assert!(!places.crowded());
        assert!(places.take(one).is_some());
        drop((mine, others));
        assert!(places.taken.lock().unwrap().0.is_empty(), "nothing is remembered of who left");
    }

    #[test]
    fn a_proxy_has_as_many_places_as_there_are() {
        let proxy: IpAddr = "192.0.2.1".parse().unwrap();
        let places = Places::new(5, 1, Networks::new(&["192.0.2.1"]).unwrap());
        let taken: Vec<_> = (0..6).filter_map(|_| places.take(proxy)).collect();
        assert_eq!(taken.len(), 5);
    }
}
