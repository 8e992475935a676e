#![no_main]

use doorbell::provider::Mask;

libfuzzer_sys::fuzz_target!(|payload: &[u8]| {
    let mask = Mask::default();
    let shown = mask.apply(payload);
    // What is masked once has nothing left to mask.
    assert_eq!(mask.apply(&shown), shown);
});
