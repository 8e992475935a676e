//! Certificates that only a test trusts.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// An authority, and a certificate that it gave to a server at `localhost` and `127.0.0.1`.
pub(crate) struct Certificates {
    /// The authority's certificate, as PEM.
    pub(crate) ca: String,
    certificate: String,
    key: String,
}

impl Certificates {
    pub(crate) fn make() -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
        Self { ca: authority.pem(), certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// Writes them down, and gives what makes a server speak TLS on this port with them.
    pub(crate) fn arguments(&self, dir: &Path, port: u16) -> Vec<String> {
        let write = |name: &str, text: &str| {
            let file = dir.join(name);
            fs::write(&file, text).unwrap();
            file.to_str().unwrap().to_owned()
        };
        let files = [
            ("--tls-ca-cert-file", write("ca.pem", &self.ca)),
            ("--tls-cert-file", write("server.pem", &self.certificate)),
            ("--tls-key-file", write("server.key", &self.key)),
        ];
        let files = files.into_iter().flat_map(|(name, file)| [name.to_owned(), file]);
        let port = ["--tls-port".to_owned(), port.to_string()];
        files.chain(port).chain(["--tls-auth-clients".to_owned(), "no".to_owned()]).collect()
    }
}
