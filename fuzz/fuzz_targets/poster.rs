#![no_main]

use doorbell::{
    provider::{Poster, Provider, Secret, poster},
    testing::Sender,
};
use http::HeaderMap;

const SECRET: &str = "5d8e1c0f47a94b62b3f0a7c1e9d24680";

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let provider = Poster::new(["another", SECRET]).accept_object_data(true);
    doorbell_fuzz::exercise::<poster::Event>(&provider, body, &HeaderMap::new());
    // What can be signed at all is accepted, or says why it is ambiguous.
    if let Ok(signed) = Sender::Poster.sign(Some(&Secret::from(SECRET)), doorbell_fuzz::NOW, 1, body.to_vec())
        && let Err(refusal) = provider.verify(&signed.as_request(), doorbell_fuzz::NOW)
    {
        assert_eq!(refusal.reason(), "ambiguous", "{refusal}");
    }
});
