#![no_main]

use bytes::Bytes;
use doorbell::provider::{Kladana, Parsed, Provider, Request, kladana};
use http::HeaderMap;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let provider = Kladana::new().insecure();
    doorbell_fuzz::exercise::<kladana::Event>(&provider, body, &HeaderMap::new());
    // Each event alone is a notification of the same event.
    let headers = HeaderMap::new();
    let bytes = Bytes::copy_from_slice(body);
    if let Ok(Parsed::Events { events, .. }) = provider.parse(&Request::new(&headers, body)) {
        for event in events.iter().take(16) {
            let data = event.data.of(&bytes);
            let Ok(Parsed::Events { events: alone, .. }) = provider.parse(&Request::new(&headers, &data))
            else {
                panic!("an event is no notification of its own");
            };
            assert_eq!(alone.len(), 1);
            assert_eq!((&alone[0].kind, &alone[0].subject), (&event.kind, &event.subject));
        }
    }
});
