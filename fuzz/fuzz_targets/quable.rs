#![no_main]

use doorbell::provider::{Quable, quable};
use http::HeaderMap;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    doorbell_fuzz::exercise::<quable::Event>(&Quable::path_secret_only(), body, &HeaderMap::new());
});
