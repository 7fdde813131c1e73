//! What a failed TLS handshake means, and which file or flag to look at.

use std::error::Error;
use std::io;
use std::path::Path;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as TlsError};

use crate::config::{Host, TlsFiles};

/// What happened, as a sentence, if TLS is what failed. The daemon tells of a refusal by an alert, which may come at
/// the first answer only.
pub(super) fn explained(error: &(dyn Error + 'static), host: &Host, files: &TlsFiles) -> Option<String> {
    let own = files.certificate.display();
    let refused =
        |why: &str| format!("the daemon at {host} refused the certificate {own} (--tlscert, --cert-path): {why}");
    let distrusted = |why: &str| format!("the daemon's certificate at {host} is not trusted: {why}");
    Some(match tls_error(error)? {
        TlsError::AlertReceived(alert) => match alert {
            AlertDescription::UnknownCA | AlertDescription::BadCertificate | AlertDescription::DecryptError => {
                refused("none of the authorities that the daemon trusts (its --tlscacert) signed it")
            }
            AlertDescription::CertificateExpired => refused("it has expired, or is not valid yet"),
            AlertDescription::CertificateRevoked => refused("it was revoked"),
            AlertDescription::CertificateRequired => {
                format!(
                    "the daemon at {host} asks for a certificate; give one with --tlscert and --tlskey, or --cert-path"
                )
            }
            other => refused(&format!("it says {other:?}")),
        },
        TlsError::InvalidCertificate(cause) => match cause {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                distrusted(&format!("{} did not sign it", authority(&files.authorities)))
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                distrusted("it is made out to other names; call the daemon by one of these (-H, TRESTLE_HOST)")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => distrusted("it has expired"),
            other => distrusted(&format!("{other}")),
        },
        TlsError::InvalidMessage(_) => {
            format!("what answers at {host} does not speak TLS; was trestled started with --tlsverify?")
        }
        other => format!("speaking TLS with the daemon at {host}: {other}"),
    })
}

/// Whether the connection broke with no word, as it may when the daemon's last one was overtaken.
pub(super) fn silent(host: &Host, files: &TlsFiles, error: &dyn Error) -> String {
    let own = files.certificate.display();
    format!(
        "the daemon at {host} broke off: {error}; did it refuse the certificate {own} (--tlscert, --cert-path)? Its log \
         tells"
    )
}

fn authority(path: &Path) -> String {
    format!("no authority in {} (--tlscacert, --cert-path)", path.display())
}

/// The error of TLS among what lies beneath another.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a TlsError> {
    let mut layer = Some(error);
    while let Some(error) = layer {
        // What an `io::Error` holds is not its source, only its source's source.
        let held: Option<&'a (dyn Error + 'static)> =
            error.downcast_ref::<io::Error>().and_then(io::Error::get_ref).map(|held| held as _);
        let found = held.into_iter().chain([error]).find_map(|error| error.downcast_ref::<TlsError>());
        if found.is_some() {
            return found;
        }
        layer = error.source();
    }
    None
}
