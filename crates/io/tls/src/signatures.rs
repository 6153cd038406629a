//! What rustls asks every verifier besides whose certificate it takes: whether the peer owns the key.
//!
//! The questions are methods of two traits without a common part, so the answers are written out by
//! macros, once for those who speak TLS 1.2 and once for those who do not.

/// Never spoken inside the mesh.
pub(crate) const NO_TLS12: rustls::Error =
    rustls::Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOfferedOrEnabled);

/// Signatures of TLS 1.2 and 1.3, by the algorithms given.
macro_rules! verify_signatures {
    ($self:ident, $algorithms:expr) => {
        fn verify_tls12_signature(
            &$self,
            message: &[u8],
            certificate: &::rustls_pki_types::CertificateDer<'_>,
            signed: &::rustls::DigitallySignedStruct,
        ) -> Result<::rustls::client::danger::HandshakeSignatureValid, ::rustls::Error> {
            ::rustls::crypto::verify_tls12_signature(message, certificate, signed, $algorithms)
        }

        $crate::signatures::verify_signatures!(@tls13 $self, $algorithms);
    };
    (@tls13 $self:ident, $algorithms:expr) => {
        fn verify_tls13_signature(
            &$self,
            message: &[u8],
            certificate: &::rustls_pki_types::CertificateDer<'_>,
            signed: &::rustls::DigitallySignedStruct,
        ) -> Result<::rustls::client::danger::HandshakeSignatureValid, ::rustls::Error> {
            ::rustls::crypto::verify_tls13_signature(message, certificate, signed, $algorithms)
        }

        fn supported_verify_schemes(&$self) -> Vec<::rustls::SignatureScheme> {
            $algorithms.supported_schemes()
        }
    };
}

/// Signatures of TLS 1.3 only, by the algorithms given.
macro_rules! verify_tls13_signatures {
    ($self:ident, $algorithms:expr) => {
        fn verify_tls12_signature(
            &$self,
            _message: &[u8],
            _certificate: &::rustls_pki_types::CertificateDer<'_>,
            _signed: &::rustls::DigitallySignedStruct,
        ) -> Result<::rustls::client::danger::HandshakeSignatureValid, ::rustls::Error> {
            Err($crate::signatures::NO_TLS12)
        }

        $crate::signatures::verify_signatures!(@tls13 $self, $algorithms);
    };
}

pub(crate) use {verify_signatures, verify_tls13_signatures};
