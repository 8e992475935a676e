#![no_main]

use doorbell::provider::Mask;

const TOKEN: &str = "401122:0a1b2c3d4e5f";

libfuzzer_sys::fuzz_target!(|payload: &[u8]| {
    let mask = Mask::default();
    let _ = mask.apply(payload);
    // Whatever stands beside a token, in JSON, in JSON within JSON or in a form: the token is not shown.
    let text = String::from_utf8_lossy(payload);
    if text.contains(TOKEN) {
        return;
    }
    let escaped = format!("{text:?}").replace("\\u{", "\\\\u{").replace("\\'", "'").replace("\\0", "\\\\0");
    let json = format!(r#"{{"a":{escaped},"access_token":"{TOKEN}","b":{escaped}}}"#);
    let nested = format!(r#"{{"data":"{}"}}"#, json.replace('\\', "\\\\").replace('"', "\\\""));
    for payload in [&json, &nested] {
        let shown = mask.text(payload.as_bytes());
        assert!(!shown.contains(TOKEN), "{payload}\n{shown}");
    }
});
