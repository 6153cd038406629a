use std::sync::Arc;

use super::*;

/// It would call without a certificate, and trust the system's authorities.
#[test]
fn who_does_not_know_of_files_trusts_nobody() {
    let files = TlsFiles { roots: None, client: Some(("/chain".into(), "/key".into())) };
    let written = tls(&UpstreamTls { files: Some(Arc::new(files)), ..UpstreamTls::default() });
    assert_eq!(written.roots_pem, Some(Vec::new()));
    assert_eq!(tls(&UpstreamTls::default()).roots_pem, None);
}
