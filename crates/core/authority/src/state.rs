//! All that an authority has to remember, as bytes.

#[cfg(test)]
mod tests;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::PrivateKeyDer;
use serde::{Deserialize, Serialize};
use weft_model::identity::TrustDomain;
use zeroize::Zeroizing;

use crate::authority::Authority;
use crate::certificate::CaCertificate;
use crate::issuer::{Intermediate, Issuer, Root};
use crate::key::CaKey;
use crate::lifetimes::Lifetimes;
use crate::rotation::{Phase, Rotation};
use crate::token::{JoinTokens, OpenToken};
use crate::validity::{at_secs, secs};

/// All that an authority has to remember.
#[derive(Debug, Clone)]
pub struct State {
    /// What signs, with its keys, and how far a rotation has come.
    pub authority: Authority,
    /// Who may still join by a token.
    pub tokens: JoinTokens,
}

/// Bytes that are not a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidState(Box<str>);

/// The state as JSON. A change of this form takes a new version of the sealed format.
///
/// None of these can be shown: they hold private keys.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    trust_domain: String,
    root_secs: u64,
    intermediate_secs: u64,
    leaf_secs: u64,
    signing: IssuerDocument,
    rotation: RotationDocument,
    tokens: Vec<TokenDocument>,
}

/// Certificates and keys are base64 of DER.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerDocument {
    root: String,
    root_key: Option<Zeroizing<String>>,
    chain: Vec<String>,
    key: Zeroizing<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "phase")]
enum RotationDocument {
    Steady,
    Prepared { next: IssuerDocument, since_secs: u64 },
    Switched { previous: IssuerDocument, since_secs: u64 },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenDocument {
    hash: String,
    scope: String,
    expires_at_secs: u64,
}

/// Counts what is written.
struct Length(usize);

// === impl State ===

impl State {
    /// With so much room behind them that nothing is copied when `room_bytes` are added.
    pub(crate) fn to_bytes(&self, room_bytes: usize) -> Zeroizing<Vec<u8>> {
        let Self { authority, tokens } = self;
        let Lifetimes { root, intermediate, leaf } = *authority.lifetimes();
        let rotation = authority.rotation();
        let document = Document {
            trust_domain: authority.trust_domain().as_str().into(),
            root_secs: root.as_secs(),
            intermediate_secs: intermediate.as_secs(),
            leaf_secs: leaf.as_secs(),
            signing: rotation.signing().into(),
            rotation: rotation.phase().into(),
            tokens: tokens.open().iter().map(TokenDocument::from).collect(),
        };
        // Bytes that grow leave copies behind, so it is looked first how many there will be.
        let mut length = Length(0);
        serde_json::to_writer(&mut length, &document).expect("texts and numbers are always JSON");
        let mut bytes = Zeroizing::new(Vec::with_capacity(length.0 + room_bytes));
        serde_json::to_writer(&mut *bytes, &document).expect("it was written before");
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidState> {
        let document: Document = serde_json::from_slice(bytes).map_err(invalid)?;
        let trust_domain = TrustDomain::new(&document.trust_domain).map_err(invalid)?;
        let lifetimes = Lifetimes {
            root: Duration::from_secs(document.root_secs),
            intermediate: Duration::from_secs(document.intermediate_secs),
            leaf: Duration::from_secs(document.leaf_secs),
        };
        lifetimes.check().map_err(invalid)?;
        let rotation =
            Rotation::from_parts(document.signing.try_into()?, document.rotation.try_into()?);
        let authority = Authority::from_parts(trust_domain, lifetimes, rotation);
        let tokens: Result<_, _> = document.tokens.into_iter().map(OpenToken::try_from).collect();
        Ok(Self { authority, tokens: JoinTokens::from_parts(tokens?) })
    }
}

// === impl Length ===

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

// === impl IssuerDocument ===

impl From<&Issuer> for IssuerDocument {
    fn from(issuer: &Issuer) -> Self {
        let (root, intermediate) = (issuer.root(), issuer.intermediate());
        Self {
            root: STANDARD.encode(root.certificate().der()),
            root_key: root.key().map(|key| Zeroizing::new(STANDARD.encode(key.der()))),
            chain: intermediate.chain().iter().map(|ca| STANDARD.encode(ca.der())).collect(),
            key: Zeroizing::new(STANDARD.encode(intermediate.key().der())),
        }
    }
}

impl TryFrom<IssuerDocument> for Issuer {
    type Error = InvalidState;

    fn try_from(document: IssuerDocument) -> Result<Self, InvalidState> {
        let IssuerDocument { root, root_key, chain, key } = document;
        let root_key = root_key.map(|key| read_key(&key)).transpose()?;
        let root = Root::from_parts(certificate(&root)?, root_key);
        let chain: Result<Vec<_>, _> = chain.iter().map(|text| certificate(text)).collect();
        let chain = chain?;
        if chain.is_empty() {
            return Err(invalid("there is no intermediate"));
        }
        let key = read_key(&key)?;
        let fingerprint = root.certificate().fingerprint();
        let intermediate = Intermediate::from_parts(chain.into(), key, fingerprint);
        Ok(Self::new(root, intermediate).expect("it was just put under that root"))
    }
}

// === impl RotationDocument ===

impl From<&Phase> for RotationDocument {
    fn from(phase: &Phase) -> Self {
        match phase {
            Phase::Steady => Self::Steady,
            Phase::Prepared { next, since } => {
                Self::Prepared { next: next.into(), since_secs: secs(*since) }
            }
            Phase::Switched { previous, since } => {
                Self::Switched { previous: previous.into(), since_secs: secs(*since) }
            }
        }
    }
}

impl TryFrom<RotationDocument> for Phase {
    type Error = InvalidState;

    fn try_from(document: RotationDocument) -> Result<Self, InvalidState> {
        Ok(match document {
            RotationDocument::Steady => Self::Steady,
            RotationDocument::Prepared { next, since_secs } => {
                Self::Prepared { next: next.try_into()?, since: at_secs(since_secs) }
            }
            RotationDocument::Switched { previous, since_secs } => {
                Self::Switched { previous: previous.try_into()?, since: at_secs(since_secs) }
            }
        })
    }
}

// === impl TokenDocument ===

impl From<&OpenToken> for TokenDocument {
    fn from(open: &OpenToken) -> Self {
        Self {
            hash: STANDARD.encode(open.hash),
            scope: open.scope.to_string(),
            expires_at_secs: secs(open.expires_at),
        }
    }
}

impl TryFrom<TokenDocument> for OpenToken {
    type Error = InvalidState;

    fn try_from(document: TokenDocument) -> Result<Self, InvalidState> {
        let hash = decode(&document.hash)?;
        Ok(Self {
            hash: hash.try_into().map_err(|_| invalid("the hash of a token is too short"))?,
            scope: document.scope.parse().map_err(invalid)?,
            expires_at: at_secs(document.expires_at_secs),
        })
    }
}

fn certificate(text: &str) -> Result<CaCertificate, InvalidState> {
    CaCertificate::from_der(decode(text)?.into()).map_err(invalid)
}

fn read_key(text: &str) -> Result<CaKey, InvalidState> {
    let der = decode(text)?;
    let der = Zeroizing::new(PrivateKeyDer::try_from(der).map_err(invalid)?);
    CaKey::from_der(&der).map_err(|_| invalid("a private key is of an unknown kind"))
}

fn decode(text: &str) -> Result<Vec<u8>, InvalidState> {
    STANDARD.decode(text).map_err(invalid)
}

fn invalid(reason: impl ToString) -> InvalidState {
    InvalidState(reason.to_string().into())
}
