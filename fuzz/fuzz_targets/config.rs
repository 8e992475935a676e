#![no_main]

use std::io;

use doorbell::config::Config;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let env = |name: &str| (!name.starts_with("UNSET")).then(|| "0123456789abcdef".to_owned());
    let _ = match Config::parse(text, env, |_| Err(io::ErrorKind::NotFound.into())) {
        Ok(config) => format!("{config:?}{}", config.check()),
        Err(error) => error.to_string(),
    };
});
