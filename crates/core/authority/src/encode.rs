//! Certificates as bytes (RFC 5280, section 4.1).
//!
//! They are written here and not by rcgen, which keeps the parts of a name in a map: of a supplied
//! authority's `DC=example, DC=com` one half would be lost, and the issuer's name in a leaf must be
//! its issuer's subject byte for byte.

use rustls_pki_types::CertificateDer;
use weft_model::identity::{Identity, TrustDomain};
use x509_parser::time::ASN1Time;

use crate::certificate::key_id;
use crate::der::{self, bit_string, element, sequence};
use crate::key::CaKey;
use crate::random::random;
use crate::validity::{Validity, secs};

/// Object identifiers, DER.
mod oid {
    pub(super) const ORGANIZATION: &[u8] = &[0x06, 3, 0x55, 0x04, 0x0a];
    pub(super) const COMMON_NAME: &[u8] = &[0x06, 3, 0x55, 0x04, 0x03];
    pub(super) const SUBJECT_KEY_ID: &[u8] = &[0x06, 3, 0x55, 0x1d, 0x0e];
    pub(super) const KEY_USAGE: &[u8] = &[0x06, 3, 0x55, 0x1d, 0x0f];
    pub(super) const SUBJECT_ALT_NAME: &[u8] = &[0x06, 3, 0x55, 0x1d, 0x11];
    pub(super) const BASIC_CONSTRAINTS: &[u8] = &[0x06, 3, 0x55, 0x1d, 0x13];
    pub(super) const NAME_CONSTRAINTS: &[u8] = &[0x06, 3, 0x55, 0x1d, 0x1e];
    pub(super) const AUTHORITY_KEY_ID: &[u8] = &[0x06, 3, 0x55, 0x1d, 0x23];
    pub(super) const EXTENDED_KEY_USAGE: &[u8] = &[0x06, 3, 0x55, 0x1d, 0x25];
    pub(super) const SERVER_AUTH: &[u8] = &[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1];
    pub(super) const CLIENT_AUTH: &[u8] = &[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2];
}

/// DER of TRUE.
const TRUE: &[u8] = &[der::BOOLEAN, 1, 0xff];
/// KeyUsage of a leaf: digitalSignature.
const LEAF_USAGE: &[u8] = &[der::BIT_STRING, 2, 7, 0x80];
/// KeyUsage of an authority: keyCertSign, cRLSign.
const CA_USAGE: &[u8] = &[der::BIT_STRING, 2, 1, 0x06];

/// GeneralName (RFC 5280, section 4.2.1.6).
const DNS_NAME: u8 = der::context(2);
const URI: u8 = der::context(6);
const IP_ADDRESS: u8 = der::context(7);

/// Who signs a certificate.
pub(crate) struct Signer<'a> {
    /// Its subject, DER.
    pub(crate) name: &'a [u8],
    /// How its key is named.
    pub(crate) key_id: &'a [u8],
    pub(crate) key: &'a CaKey,
}

/// A certificate in parts.
pub(crate) struct Certificate<'a> {
    /// A Name, DER.
    pub(crate) subject: &'a [u8],
    pub(crate) validity: Validity,
    /// SubjectPublicKeyInfo, DER.
    pub(crate) public_key_info: &'a [u8],
    /// Extensions of its kind, DER, one after the other.
    pub(crate) extensions: &'a [u8],
}

// === impl Certificate ===

impl Certificate<'_> {
    /// The certificate with a fresh serial number, signed.
    pub(crate) fn sign(&self, by: &Signer<'_>) -> CertificateDer<'static> {
        let version = element(der::context_parts(0), &[&[der::INTEGER, 1, 2]]);
        let serial = element(der::INTEGER, &[&serial_number()]);
        let Validity { not_before, not_after } = self.validity;
        let validity = sequence(&[&time(secs(not_before)), &time(secs(not_after))]);
        let authority_key_id = extension(
            oid::AUTHORITY_KEY_ID,
            false,
            &sequence(&[&element(der::context(0), &[by.key_id])]),
        );
        let extensions =
            element(der::context_parts(3), &[&sequence(&[&authority_key_id, self.extensions])]);
        let to_be_signed = sequence(&[
            &version,
            &serial,
            by.key.algorithm(),
            by.name,
            &validity,
            self.subject,
            self.public_key_info,
            &extensions,
        ]);
        let signature = bit_string(&by.key.sign(&to_be_signed));
        sequence(&[&to_be_signed, by.key.algorithm(), &signature]).into()
    }
}

/// The subject of an authority.
pub(crate) fn name(common_name: &str) -> Vec<u8> {
    let attribute = |oid: &[u8], text: &str| {
        let text = element(der::UTF8_STRING, &[text.as_bytes()]);
        element(der::SET, &[&sequence(&[oid, &text])])
    };
    sequence(&[&attribute(oid::ORGANIZATION, "Weftway"), &attribute(oid::COMMON_NAME, common_name)])
}

/// The subject of a leaf, which has none (X509-SVID specification, section 2).
pub(crate) fn no_name() -> Vec<u8> {
    sequence(&[])
}

/// Extensions of a workload's certificate (X509-SVID specification, sections 2 and 4): one URI, both
/// ends of TLS.
pub(crate) fn leaf_extensions(identity: &Identity) -> Vec<u8> {
    let usages = sequence(&[oid::SERVER_AUTH, oid::CLIENT_AUTH]);
    [
        // Critical, because the subject is empty (RFC 5280, section 4.2.1.6).
        extension(oid::SUBJECT_ALT_NAME, true, &uri(identity.as_str())),
        extension(oid::KEY_USAGE, true, LEAF_USAGE),
        extension(oid::EXTENDED_KEY_USAGE, false, &usages),
        extension(oid::BASIC_CONSTRAINTS, true, &sequence(&[])),
    ]
    .concat()
}

/// Extensions of an authority's certificate: the trust domain as its name (X509-SVID specification,
/// section 3.2), and how many authorities may follow it.
pub(crate) fn ca_extensions(
    trust_domain: &TrustDomain,
    public_key: &[u8],
    path_length: u8,
) -> Vec<u8> {
    let own = element(der::OCTET_STRING, &[&key_id(public_key)]);
    let constraints = sequence(&[TRUE, &[der::INTEGER, 1, path_length]]);
    [
        extension(oid::SUBJECT_KEY_ID, false, &own),
        extension(oid::SUBJECT_ALT_NAME, false, &uri(&format!("spiffe://{trust_domain}"))),
        extension(oid::KEY_USAGE, true, CA_USAGE),
        extension(oid::BASIC_CONSTRAINTS, true, &constraints),
    ]
    .concat()
}

/// The constraint that no host name and no address is ever certified: applications that trust the
/// bundle cannot be shown a forged web server, whoever gets hold of the intermediate's key.
///
/// The trust domain as a permitted URI would be the natural constraint, but webpki, which rustls
/// verifies with, refuses every URI under a certificate that constrains URIs.
pub(crate) fn no_hosts() -> Vec<u8> {
    let excluded = [
        sequence(&[&element(DNS_NAME, &[])]),
        sequence(&[&element(IP_ADDRESS, &[&[0; 8]])]),
        sequence(&[&element(IP_ADDRESS, &[&[0; 32]])]),
    ];
    let excluded = element(der::context_parts(1), &[&excluded.concat()]);
    extension(oid::NAME_CONSTRAINTS, true, &sequence(&[&excluded]))
}

fn uri(uri: &str) -> Vec<u8> {
    sequence(&[&element(URI, &[uri.as_bytes()])])
}

fn extension(oid: &[u8], is_critical: bool, value: &[u8]) -> Vec<u8> {
    let value = element(der::OCTET_STRING, &[value]);
    if is_critical { sequence(&[oid, TRUE, &value]) } else { sequence(&[oid, &value]) }
}

/// 158 random bits in 20 bytes, the most there may be; positive, and never shorter.
fn serial_number() -> [u8; 20] {
    let mut bytes: [u8; 20] = random();
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    bytes
}

/// A Time: UTCTime through 2049, GeneralizedTime from then on (RFC 5280, section 4.1.2.5).
fn time(secs: u64) -> Vec<u8> {
    let at = ASN1Time::from_timestamp(secs as i64).expect("at most the year 9999").to_datetime();
    let (month, day) = (u8::from(at.month()), at.day());
    let (hour, minute, second) = (at.hour(), at.minute(), at.second());
    let rest = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    match at.year() {
        year @ ..2050 => element(der::UTC_TIME, &[format!("{:02}{rest}", year % 100).as_bytes()]),
        year => element(der::GENERALIZED_TIME, &[format!("{year:04}{rest}").as_bytes()]),
    }
}

#[cfg(test)]
mod tests;
