//! A sender that signs its URL.

use doorbell::{
    clock::Timestamp,
    provider::{Parsed, ParsedEvent, Provider, Refusal, Request, SignError, SignedRequest, Unparsable},
};

/// Signs the method and the URL, in a way: they have to stand in a header. Says of a wrong one what it saw.
#[derive(Debug)]
pub(crate) struct Switchboard;

impl Provider for Switchboard {
    fn name(&self) -> &'static str {
        "switchboard"
    }

    fn authenticate(&self, request: &Request<'_>, _: Timestamp) -> Result<(), Refusal> {
        let seen = format!("{} {}", request.method(), request.target());
        match request.header("x-signed") {
            Some(signed) if signed == seen => Ok(()),
            _ => Err(Refusal::WrongProof(format!("{seen} of {request:?}").into())),
        }
    }

    fn parse(&self, request: &Request<'_>) -> Result<Parsed, Unparsable> {
        match request.body {
            b"odd" => Err(Unparsable::new(format!("odd, at {}", request.target()))),
            _ => Ok(Parsed::Events { sender_id: None, events: vec![ParsedEvent::new("call.ended")] }),
        }
    }

    fn sign_request_to(
        &self,
        path: &str,
        _: &str,
        _: Timestamp,
        body: Vec<u8>,
    ) -> Result<SignedRequest, SignError> {
        let mut request = SignedRequest::new(body);
        request.query = Some("lang=en&to=%2B47".into());
        let signed = format!("POST {path}?lang=en&to=%2B47");
        request.headers.insert("x-signed", signed.parse()?);
        Ok(request)
    }
}
