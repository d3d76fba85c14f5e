use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as TlsError, InvalidMessage};

use crate::WireError;

impl WireError {
    /// The same error, in words of its own if TLS is behind it.
    pub(crate) fn unwrapped(self) -> Self {
        match self {
            Self::Io(error) => explained(error, "there"),
            other => other,
        }
    }
}

/// What an error of TLS means for whoever reads it.
pub(super) fn explained(error: io::Error, host: &str) -> WireError {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) else {
        return WireError::Io(error);
    };
    let certs = "`cutwater certs` makes certificates";
    let theirs = |what: String| WireError::Certificate(format!("the certificate of the other end {what}"));
    let ours = |what: &str| {
        WireError::Certificate(format!("the other end does not accept the certificate of this one: {what}"))
    };
    let foreign = "is not of the authority that is trusted";
    match tls {
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => WireError::NoTls,
        TlsError::InvalidCertificate(why) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                theirs(format!("has expired; {certs} anew"))
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                theirs("is not valid yet; are the clocks of both machines right?".to_owned())
            }
            CertificateError::NotValidForName => theirs(format!("is not for {host}; {certs} for more hosts")),
            CertificateError::NotValidForNameContext { presented, .. } => {
                theirs(format!("is for {}, and not for {host}; {certs} for more hosts", presented.join(", ")))
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                theirs(format!("{foreign} here; both ends need certificates of one authority"))
            }
            other => theirs(format!("is not accepted: {other}")),
        },
        TlsError::NoCertificatesPresented => theirs(format!("is missing; {certs} for it")),
        TlsError::AlertReceived(alert) => match alert {
            AlertDescription::CertificateExpired => ours("it has expired, or the clock there is wrong"),
            AlertDescription::UnknownCA | AlertDescription::DecryptError => ours(
                "it is not of the authority that is trusted there; both ends need certificates of one authority",
            ),
            AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
                ours("it is not valid there, or not for the host that was dialled; its log says more")
            }
            AlertDescription::CertificateRequired => ours("it has seen none"),
            other => WireError::Certificate(format!("the other end ended the handshake of TLS: {other:?}")),
        },
        other => WireError::Certificate(format!("the handshake of TLS failed: {other}")),
    }
}
