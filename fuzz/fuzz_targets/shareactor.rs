#![no_main]

use doorbell::provider::{Shareactor, shareactor};
use http::HeaderMap;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let provider = Shareactor::new("secret");
    doorbell_fuzz::exercise::<shareactor::Event>(&provider, input, &HeaderMap::new());
    if let Some((signature, body)) = doorbell_fuzz::header_and_body(input) {
        let headers = [("x-share-signature".parse().unwrap(), signature)].into_iter().collect();
        doorbell_fuzz::exercise::<shareactor::Event>(&provider, body, &headers);
    }
});
