//! Handshakes on both sides.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;

use rustls::{AlertDescription, CertificateError, Error as TlsError};
use tokio::io::AsyncWriteExt;
use weft_net::buffer::Inbox;
use weft_net::{BufferPool, Stream};

use crate::client::{ClientTls, InvalidHost};
use crate::client_hello::{Hello, InvalidHello, Peek, parse_client_hello};
use crate::server::{NotSelected, Selected};
use crate::stream::{Failure, Session, TlsStream};

/// A handshake that did not come about.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The connection failed.
    #[error("the connection failed during the TLS handshake")]
    Io(#[source] io::Error),
    /// The peer closed the connection before the end of the handshake.
    #[error("the peer closed the connection during the TLS handshake")]
    Closed,
    /// The first bytes are no acceptable ClientHello.
    #[error(transparent)]
    Hello(#[from] InvalidHello),
    /// Nothing is configured for the server name.
    #[error(transparent)]
    NotSelected(#[from] NotSelected),
    /// The host of an upstream cannot be verified.
    #[error(transparent)]
    Host(#[from] InvalidHost),
    /// The handshake itself failed.
    #[error("the TLS handshake failed: {}", advice(.0))]
    Tls(#[source] TlsError),
}

/// Why no handshake begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoHandshake {
    /// No certificate is configured for the server name (`unrecognized_name`, RFC 6066 section 3).
    UnknownName,
    /// This process cannot prove yet who it is (`internal_error`, RFC 8446 section 6.2): it is
    /// through no fault of the client's.
    NoCredentials,
}

/// Reads the ClientHello into `inbox`, where it stays for [`accept`] or for passing it through.
///
/// While nothing has arrived no buffer is owned. The caller bounds the time.
///
/// Cancel safe: what was read stays in the inbox.
///
/// # Errors
///
/// [`HandshakeError::Io`], [`HandshakeError::Closed`] or [`HandshakeError::Hello`].
pub async fn read_hello<S: Stream>(io: &mut S, inbox: &mut Inbox) -> Result<Hello, HandshakeError> {
    loop {
        if !inbox.is_empty()
            && let Peek::Hello(hello) = parse_client_hello(inbox.bytes())?
        {
            return Ok(hello);
        }
        poll_fn(|cx| io.poll_read_ready(cx)).await.map_err(HandshakeError::Io)?;
        if inbox.fill(io).await.map_err(HandshakeError::Io)? == 0 {
            return Err(HandshakeError::Closed);
        }
    }
}

/// Does the server's side of a handshake with the configuration selected for the hello, which is
/// still in the inbox.
///
/// Not cancel safe: dropping it closes the connection.
///
/// # Errors
///
/// [`HandshakeError::Io`], [`HandshakeError::Closed`] or [`HandshakeError::Tls`]; the peer was sent
/// the alert.
pub async fn accept<S: Stream>(
    io: S,
    inbox: Inbox,
    hello: Hello,
    selected: &Selected,
) -> Result<TlsStream<S>, HandshakeError> {
    let session = Session::server(selected.config().clone()).map_err(HandshakeError::Tls)?;
    let verifies = selected.verifies_clients();
    finish(TlsStream::new(io, session, inbox, hello.server_name, verifies)).await
}

/// Does the client's side of a handshake with the upstream that serves `host`.
///
/// Not cancel safe: dropping it closes the connection.
///
/// # Errors
///
/// [`HandshakeError`]; for a certificate that is not accepted it says why.
pub async fn connect<S: Stream>(
    io: S,
    tls: &ClientTls,
    host: &str,
    pool: &BufferPool,
) -> Result<TlsStream<S>, HandshakeError> {
    let name = tls.server_name(host)?;
    let text = name.to_str().into_owned().into();
    let session = Session::client(tls.config().clone(), name).map_err(HandshakeError::Tls)?;
    finish(TlsStream::new(io, session, Inbox::new(pool), Some(text), tls.verifies())).await
}

/// Tells a client why there will be no handshake, and ends our direction.
///
/// Not cancel safe, and need not be: it is the last thing sent.
pub async fn refuse<S: Stream>(io: &mut S, why: NoHandshake) {
    let alert = match why {
        NoHandshake::UnknownName => AlertDescription::UnrecognisedName,
        NoHandshake::NoCredentials => AlertDescription::InternalError,
    };
    // A plain alert record: TLS 1.2 on the record layer, fatal.
    let record = [21, 3, 3, 0, 2, 2, alert.into()];
    // The client may be gone already; there is nothing left to do for it.
    if io.write_all(&record).await.is_ok() {
        let _ = poll_fn(|cx| Pin::new(&mut *io).poll_shutdown(cx)).await;
    }
}

pub(crate) async fn finish<S: Stream>(
    mut stream: TlsStream<S>,
) -> Result<TlsStream<S>, HandshakeError> {
    match poll_fn(|cx| stream.poll_handshake(cx)).await {
        Ok(()) => Ok(stream),
        Err(Failure::Io(error)) => Err(HandshakeError::Io(error)),
        Err(Failure::Closed) => Err(HandshakeError::Closed),
        Err(Failure::Tls(error)) => Err(HandshakeError::Tls(error)),
    }
}

/// What happened, and where to look.
fn advice(error: &TlsError) -> String {
    let text = match error {
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the peer's certificate is not signed by a trusted authority; add its root"
        }
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "the peer's certificate is not valid for the expected name; set the server name",
        TlsError::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "the peer's certificate has expired; renew it",
        TlsError::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "the peer's certificate is not valid yet; compare the clocks",
        TlsError::InvalidCertificate(CertificateError::BadSignature) => {
            "a signature of the peer's certificate is wrong; was its authority renewed?"
        }
        TlsError::NoCertificatesPresented => {
            "the peer presented no certificate, and one is required"
        }
        TlsError::PeerIncompatible(_) => {
            "the peer offers no common version, cipher suite, group or signature"
        }
        TlsError::NoApplicationProtocol => "the peer offers no common protocol (ALPN)",
        TlsError::InvalidMessage(_) => "the peer does not speak TLS here",
        TlsError::AlertReceived(alert) => return received(*alert),
        error => return error.to_string(),
    };
    text.into()
}

pub(crate) fn received(alert: AlertDescription) -> String {
    let text = match alert {
        AlertDescription::UnknownCA => "the peer does not trust the authority of our certificate",
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
            "the peer does not accept our certificate"
        }
        AlertDescription::CertificateExpired => "the peer says that our certificate has expired",
        AlertDescription::CertificateRequired => "the peer requires a client certificate",
        AlertDescription::UnrecognisedName => "the peer has no certificate for the server name",
        AlertDescription::InternalError => {
            "the peer has a failure of its own, perhaps no certificate yet"
        }
        AlertDescription::ProtocolVersion => "the peer does not speak our TLS versions",
        AlertDescription::NoApplicationProtocol => "the peer speaks none of our protocols (ALPN)",
        alert => return format!("the peer sent the alert {alert:?}"),
    };
    text.into()
}

#[cfg(test)]
mod tests;
