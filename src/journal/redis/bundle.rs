//! Deliveries that come with one call stand in Redis together; `common.lua` says how.

use crate::delivery::DeliveryId;

/// How many deliveries one bundle holds, as `common.lua` has it too, and of how many bytes, unless a single one has more. A
/// job that runs alone is read out of it, and what is left of it is written anew when some of it is deleted.
const MANY: usize = 64;
const HEAVY: usize = 1 << 16;

/// Cuts deliveries into what stands together.
pub(super) fn split<T>(deliveries: &[T], value: impl Fn(&T) -> &[u8]) -> Vec<&[T]> {
    let mut bundles = Vec::with_capacity(deliveries.len() / MANY + 1);
    let (mut from, mut bytes) = (0, 0);
    for (at, delivery) in deliveries.iter().enumerate() {
        let size = value(delivery).len();
        if at > from && (at - from == MANY || bytes + size > HEAVY) {
            bundles.push(&deliveries[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += size;
    }
    if from < deliveries.len() {
        bundles.push(&deliveries[from..]);
    }
    bundles
}

/// Puts a bundle together.
pub(super) fn write<'a>(deliveries: impl ExactSizeIterator<Item = (DeliveryId, &'a [u8])> + Clone) -> Vec<u8> {
    let size = deliveries.clone().map(|(_, value)| 20 + value.len()).sum::<usize>();
    let mut bundle = Vec::with_capacity(2 + size);
    bundle.extend(u16::try_from(deliveries.len()).unwrap_or(u16::MAX).to_be_bytes());
    let mut end = 0_usize;
    for (id, value) in deliveries.clone() {
        end += value.len();
        bundle.extend(id.as_bytes());
        bundle.extend(u32::try_from(end).unwrap_or(u32::MAX).to_be_bytes());
    }
    for (_, value) in deliveries {
        bundle.extend_from_slice(value);
    }
    bundle
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(values: &[usize]) -> Vec<usize> {
        let values: Vec<_> = values.iter().map(|size| vec![0; *size]).collect();
        split(&values, |value| value).iter().map(|bundle| bundle.len()).collect()
    }

    #[test]
    fn neither_many_nor_much_stands_together() {
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&[1]), [1]);
        assert_eq!(sizes(&[1; MANY]), [MANY]);
        assert_eq!(sizes(&[1; 2 * MANY + 1]), [MANY, MANY, 1]);
        assert_eq!(sizes(&[HEAVY - 1, 1, 1]), [2, 1]);
        assert_eq!(sizes(&[1, 2 * HEAVY, 1]), [1, 1, 1]);
    }

    #[test]
    fn a_bundle_says_what_is_in_it() {
        let id = |byte| DeliveryId::from_bytes([byte; 16]);
        let bundle = write([(id(1), &b"ab"[..]), (id(2), b"c")].into_iter());
        let front = [&[0, 2][..], &[1; 16], &[0, 0, 0, 2], &[2; 16], &[0, 0, 0, 3]].concat();
        assert_eq!(bundle, [&front[..], b"abc"].concat());
    }
}
