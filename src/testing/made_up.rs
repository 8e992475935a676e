//! Ids as the senders write them.

/// A number as a UUID of version 4.
pub(super) fn uuid(unique: u128) -> String {
    // Neighbouring numbers shall not look alike.
    let mixed = unique.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) ^ (unique >> 64);
    let bits = mixed & !(0xf << 76) & !(0b11 << 62) | (4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// The same in 24 hexadecimal digits.
pub(super) fn object_id(unique: u128) -> String {
    uuid(unique).replace('-', "").chars().take(24).collect()
}

/// A number as the senders number their objects: small.
pub(super) fn number(unique: u128) -> u64 {
    u64::try_from(unique % 1_000_000).unwrap_or_default()
}
