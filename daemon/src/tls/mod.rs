//! TLS in both directions: each side shows a certificate, and trusts only the authorities it was told of.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use trestle_core::{Error, Result};

use crate::config::TlsFiles;

/// What a daemon listens with: callers without a certificate of the authorities are refused.
///
/// # Errors
/// `Invalid` names the file that can't be used, and why.
pub fn server(files: &TlsFiles) -> Result<Arc<ServerConfig>> {
    let provider = provider();
    let roots = Arc::new(authorities(&files.authorities)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
    let verifier = verifier.build().map_err(|error| unusable(&files.authorities, error))?;
    let (chain, key) = identity(files)?;
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal(format!("choosing TLS versions: {error}")))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| unusable(&files.certificate, error))
        .map(Arc::new)
}

/// What a caller connects with: a daemon without a certificate of the authorities is refused.
///
/// # Errors
/// As for [`server`].
pub fn client(files: &TlsFiles) -> Result<Arc<ClientConfig>> {
    let (chain, key) = identity(files)?;
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal(format!("choosing TLS versions: {error}")))?
        .with_root_certificates(authorities(&files.authorities)?)
        .with_client_auth_cert(chain, key)
        .map_err(|error| unusable(&files.certificate, error))
        .map(Arc::new)
}

/// Always named: with two providers compiled in, the library would refuse to choose one.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn authorities(path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unusable(path, error))?;
    }
    Ok(roots)
}

fn identity(files: &TlsFiles) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| unusable(&files.key, error))?;
    Ok((certificates(&files.certificate)?, key))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err(unusable(path, "there is no certificate in it")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unusable(path, error)),
    }
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::invalid(format!("{}: {why}", path.display()))
}

#[cfg(test)]
mod tests;
