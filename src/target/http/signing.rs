//! Signatures by Standard Webhooks.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{
    clock::Timestamp,
    provider::{Secret, Secrets},
    target::TargetError,
};

/// The keys to sign with, decoded.
#[derive(Debug, Clone)]
pub(super) struct SigningKeys(Vec<Secret>);

/// People lose the `=` when they copy.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl SigningKeys {
    /// Reads keys like `whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD`.
    pub(super) fn parse(secrets: &Secrets) -> Result<Self, TargetError> {
        let keys = secrets.iter().enumerate().map(|(index, secret)| {
            secret
                .expose()
                .strip_prefix(b"whsec_")
                .and_then(|encoded| LENIENT.decode(encoded).ok())
                .filter(|key| !key.is_empty())
                .map(Secret::new)
                .ok_or(TargetError::Secret { number: index + 1 })
        });
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// The value of `webhook-signature`: one signature for each key. `None` without keys.
    pub(super) fn sign(&self, id: &str, at: Timestamp, body: &[u8]) -> Option<String> {
        let signatures = self.0.iter().filter_map(|key| {
            // HMAC takes keys of any length.
            let mut mac = Hmac::<Sha256>::new_from_slice(key.expose()).ok()?;
            mac.update(format!("{id}.{}.", at.as_seconds()).as_bytes());
            mac.update(body);
            Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
        });
        let signatures: Vec<_> = signatures.collect();
        (!signatures.is_empty()).then(|| signatures.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks libraries' own tests.
    #[test]
    fn signs_as_the_specification_does() {
        let keys = SigningKeys::parse(&"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()).unwrap();
        let signature = keys.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            Timestamp::from_seconds(1_614_265_330),
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_lost_padding_changes_nothing_and_no_key_signs_nothing() {
        let sign = |secret: &str| {
            SigningKeys::parse(&secret.into()).unwrap().sign("id", Timestamp::from_seconds(1), b"body")
        };
        assert_eq!(sign("whsec_AAECAwQFBgc="), sign("whsec_AAECAwQFBgc"));
        assert_eq!(
            SigningKeys::parse(&Secrets::none()).unwrap().sign("id", Timestamp::from_seconds(1), b""),
            None
        );
    }

    #[test]
    fn what_is_no_key_is_refused_by_its_place() {
        let good = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        for wrong in ["hunter2", "whsec_", "whsec_hunter2!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            let error = SigningKeys::parse(&[good, wrong].into()).unwrap_err();
            assert_eq!(error, TargetError::Secret { number: 2 });
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunter2") && !shown.contains("MfKQ"), "{shown}");
        }
    }
}
