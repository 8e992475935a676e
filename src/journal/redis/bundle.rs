//! Deliveries that come with one call stand in Redis together; `common.lua` says how.

use uuid::Uuid;

use crate::{delivery::DeliveryId, journal::sealed::Sealed};

/// How many deliveries one bundle holds, as `common.lua` has it too, and of how many bytes, unless a single one has more. A
/// job that runs alone is read out of it, and what is left of it is written anew when some of it is deleted.
const MANY: usize = 64;
const HEAVY: usize = 1 << 16;

/// The deliveries of a bundle have ids of the same 2^6 ms, as `common.lua` has it too.
const REACH_BITS: u32 = 6;

/// Cuts deliveries into what stands together.
pub(super) fn split<'a, 'b>(deliveries: &'a [&'b Sealed]) -> impl Iterator<Item = &'a [&'b Sealed]> {
    let reach = |delivery: &Sealed| Uuid::from(delivery.id).as_u128() >> (80 + REACH_BITS);
    let mut rest = deliveries;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let mut bytes = 0;
        let fits = |(count, delivery): &(usize, &&Sealed)| {
            bytes += size(delivery);
            *count == 0 || *count < MANY && bytes <= HEAVY && reach(delivery) == reach(first)
        };
        let bundle;
        (bundle, rest) = rest.split_at(rest.iter().enumerate().take_while(fits).count());
        Some(bundle)
    })
}

/// The last id of a bundle, and the first one.
pub(super) fn span(bundle: &[&Sealed]) -> Option<(DeliveryId, DeliveryId)> {
    let ids = || bundle.iter().map(|delivery| delivery.id);
    ids().max().zip(ids().min())
}

/// Puts a bundle together.
pub(super) fn write(bundle: &[&Sealed]) -> Vec<u8> {
    let bytes = bundle.iter().map(|delivery| 20 + size(delivery)).sum::<usize>();
    let mut text = Vec::with_capacity(2 + bytes);
    text.extend(u16::try_from(bundle.len()).unwrap_or(u16::MAX).to_be_bytes());
    let mut end = 0;
    for delivery in bundle {
        end += size(delivery);
        text.extend(delivery.id.as_bytes());
        text.extend(u32::try_from(end).unwrap_or(u32::MAX).to_be_bytes());
    }
    for delivery in bundle {
        text.extend_from_slice(&delivery.head);
        text.extend_from_slice(&delivery.body);
    }
    text
}

fn size(delivery: &Sealed) -> usize {
    delivery.head.len() + delivery.body.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u128, size: usize) -> Sealed {
        Sealed::test(DeliveryId::from_bytes((millis << 80).to_be_bytes()), b"h", size - 1)
    }

    fn sizes(deliveries: &[Sealed]) -> Vec<usize> {
        split(&deliveries.iter().collect::<Vec<_>>()).map(<[_]>::len).collect()
    }

    #[test]
    fn neither_many_nor_much_stands_together() {
        let of_sizes =
            |sizes_of: &[usize]| sizes(&sizes_of.iter().map(|size| at(0, *size)).collect::<Vec<_>>());
        assert_eq!(of_sizes(&[]), [0; 0]);
        assert_eq!(of_sizes(&[1]), [1]);
        assert_eq!(of_sizes(&[1; MANY]), [MANY]);
        assert_eq!(of_sizes(&[1; 2 * MANY + 1]), [MANY, MANY, 1]);
        assert_eq!(of_sizes(&[HEAVY - 1, 1, 1]), [2, 1]);
        assert_eq!(of_sizes(&[1, 2 * HEAVY, 1]), [1, 1, 1]);
    }

    #[test]
    fn what_stands_together_came_at_nearly_the_same_time() {
        assert_eq!(sizes(&[at(63, 1), at(0, 1), at(64, 1), at(127, 1), at(5, 1)]), [2, 2, 1]);
    }

    #[test]
    fn a_bundle_says_what_is_in_it() {
        let (one, other) = (at(2, 2), at(1, 1));
        let (bundle, last, first) = ([&one, &other], one.id, other.id);
        let entry = |id: DeliveryId, end: u8| [&id.as_bytes()[..], &[0, 0, 0, end]].concat();
        let front = [vec![0, 2], entry(last, 2), entry(first, 3)].concat();
        assert_eq!(write(&bundle), [&front[..], b"hbh"].concat());
        assert_eq!(span(&bundle), Some((last, first)));
        assert_eq!(span(&[]), None);
    }
}
