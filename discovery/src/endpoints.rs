//! The endpoints of one upstream, used in turn.

use std::cell::Cell;

use schemas::EndpointId;

/// The endpoints of an upstream as one core sees them. There is at least one.
#[derive(Debug)]
pub struct Endpoints<E> {
    list: Vec<E>,
    /// Whose turn it is.
    next: Cell<usize>,
}

/// One endpoint, picked for one try.
#[derive(Debug)]
pub struct Lease<'a, E> {
    /// Which one it is, for the verdict and for the next try to avoid.
    pub id: EndpointId,
    /// What is known of it.
    pub endpoint: &'a E,
}

impl<E> Endpoints<E> {
    /// Takes the list; `None` if it is empty or longer than an [`EndpointId`] can count.
    #[must_use]
    pub fn new(list: Vec<E>) -> Option<Self> {
        let countable = !list.is_empty() && u16::try_from(list.len() - 1).is_ok();
        countable.then(|| Self { list, next: Cell::new(0) })
    }

    /// Picks the endpoint whose turn it is. The one to avoid is passed over while there is
    /// another: a try that failed on it is better made elsewhere.
    pub fn pick(&self, avoid: Option<EndpointId>) -> Lease<'_, E> {
        let mut at = self.turn();
        if avoid.is_some_and(|avoid| usize::from(avoid.0) == at) {
            at = self.turn();
        }
        let id = EndpointId(u16::try_from(at).expect("the list is no longer than ids can count"));
        Lease { id, endpoint: &self.list[at] }
    }

    /// Every endpoint, in the order of the list.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.list.iter()
    }

    fn turn(&self) -> usize {
        let at = self.next.get();
        self.next.set(if at + 1 < self.list.len() { at + 1 } else { 0 });
        at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn endpoints_are_used_in_turn() {
        let endpoints = Endpoints::new(vec!["a", "b", "c"]).unwrap();
        let picked: Vec<_> = (0..6).map(|_| *endpoints.pick(None).endpoint).collect();
        assert_eq!(picked, ["a", "b", "c", "a", "b", "c"]);
    }

    #[test]
    fn the_only_endpoint_is_picked_even_if_it_is_to_be_avoided() {
        let endpoints = Endpoints::new(vec!["a"]).unwrap();
        assert_eq!(endpoints.pick(Some(EndpointId(0))).id, EndpointId(0));
    }

    #[test]
    fn an_empty_list_is_none() {
        assert!(Endpoints::<()>::new(Vec::new()).is_none());
    }

    proptest! {
        #[test]
        fn what_is_to_be_avoided_is_never_picked_while_there_is_another(
            count in 2_u16..20, picks in proptest::collection::vec(0_u16..20, 1..50),
        ) {
            let endpoints = Endpoints::new((0..count).collect()).unwrap();
            for avoid in picks {
                let lease = endpoints.pick(Some(EndpointId(avoid)));
                prop_assert_eq!(lease.id, EndpointId(*lease.endpoint));
                prop_assert_ne!(lease.id, EndpointId(avoid));
            }
        }

        #[test]
        fn every_endpoint_gets_the_same_share(count in 1_usize..20, rounds in 1_usize..20) {
            let endpoints = Endpoints::new((0..count).collect()).unwrap();
            let mut shares = vec![0; count];
            for _ in 0..count * rounds {
                shares[*endpoints.pick(None).endpoint] += 1;
            }
            prop_assert_eq!(shares, vec![rounds; count]);
        }
    }
}
