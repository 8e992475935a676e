#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use doorbell::provider::{
    Hmac, Preset, Provider, Request,
    hmac::{Field, Template, TimestampSource},
};
use http::HeaderMap;

static PRESETS: LazyLock<Vec<Hmac>> = LazyLock::new(|| {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    Preset::ALL.iter().map(|&preset| Hmac::preset(preset, secret).unwrap()).collect()
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((value, body)) = doorbell_fuzz::header_and_body(input) else { return };
    let mut foreign = HeaderMap::new();
    for name in ["x-hub-signature-256", "stripe-signature", "x-slack-signature", "webhook-signature"] {
        foreign.insert(name, value.clone());
    }
    for name in ["x-slack-request-timestamp", "webhook-timestamp", "webhook-id", "x-github-event"] {
        foreign.insert(name, value.clone());
    }
    for preset in PRESETS.iter() {
        doorbell_fuzz::exercise::<Bytes>(preset, body, &foreign);
        let signed = preset.sign("msg_1", doorbell_fuzz::NOW, body).unwrap();
        assert!(preset.verify(&Request::new(&signed, body), doorbell_fuzz::NOW).is_ok());
    }
    // Settings: what is read is printed the same.
    if let Ok(text) = value.to_str() {
        if let Ok(template) = text.parse::<Template>() {
            assert_eq!(template.to_string(), text);
        }
        if let Ok(field) = text.parse::<Field>() {
            assert_eq!(field.to_string().parse::<Field>().unwrap(), field);
        }
        let _ = text.parse::<TimestampSource>();
    }
});
