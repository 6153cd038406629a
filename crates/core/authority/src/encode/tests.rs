use std::time::{Duration, SystemTime};

use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;
use crate::bundle::{TrustBundle, Untrusted};
use crate::certificate::CaCertificate;
use crate::csr::{KeyRequest, prove_possession};
use crate::fixtures::{DAY, authority, identity, issue, now};
use crate::issuer::{Intermediate, Root};
use crate::lifetimes::Lifetimes;
use crate::validity::at_secs;

/// Identifiers of its extensions, and whether each is critical.
fn extensions(certificate: &X509Certificate<'_>) -> Vec<(String, bool)> {
    let list = certificate.extensions().iter();
    list.map(|found| (found.oid.to_id_string(), found.critical)).collect()
}

fn uris(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    let uri = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => (*uri).to_owned(),
        other => panic!("{other:?}"),
    };
    names.value.general_names.iter().map(uri).collect()
}

/// The last byte of a BIT STRING counts from the left; the parser counts from the right.
fn usage(certificate: &X509Certificate<'_>) -> u16 {
    certificate.key_usage().unwrap().unwrap().value.flags
}

#[test]
fn a_leaf_is_an_svid() {
    let authority = authority();
    let issued = issue(&authority, now());
    let (rest, leaf) = X509Certificate::from_der(&issued.chain[0]).unwrap();
    let (_, above) = X509Certificate::from_der(&issued.chain[1]).unwrap();
    assert!(rest.is_empty());
    assert_eq!(leaf.version().0, 2);
    assert_eq!(leaf.subject().iter().count(), 0);
    assert_eq!(leaf.issuer().as_raw(), above.subject().as_raw());
    let expected = [
        ("2.5.29.35", false),
        ("2.5.29.17", true),
        ("2.5.29.15", true),
        ("2.5.29.37", false),
        ("2.5.29.19", true),
    ];
    assert_eq!(extensions(&leaf), expected.map(|(id, critical)| (id.to_owned(), critical)));
    assert_eq!(uris(&leaf), ["spiffe://cluster.local/ns/shop/sa/payments"]);
    assert_eq!(usage(&leaf), 1, "digitalSignature alone");
    let purposes = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(purposes.server_auth && purposes.client_auth && !purposes.any);
    let constraints = leaf.basic_constraints().unwrap().unwrap().value;
    assert!(!constraints.ca && constraints.path_len_constraint.is_none());
    assert_eq!(leaf.validity().not_before.timestamp(), secs(now()) as i64 - 60);
    assert_eq!(leaf.validity().not_after.timestamp(), secs(now()) as i64 + 86_400);
}

#[test]
fn authorities_are_named_by_their_trust_domain() {
    let authority = authority();
    let signing = authority.rotation().signing();
    let [intermediate, root]: [&CaCertificate; 2] =
        signing.certificates().collect::<Vec<_>>().try_into().unwrap();
    for (found, path_length) in [(intermediate, 0), (root, 1)] {
        let (_, parsed) = X509Certificate::from_der(found.der()).unwrap();
        assert_eq!(uris(&parsed), ["spiffe://cluster.local"]);
        assert_eq!(usage(&parsed), 1 << 5 | 1 << 6, "keyCertSign and cRLSign");
        let constraints = parsed.basic_constraints().unwrap().unwrap();
        assert!(constraints.critical && constraints.value.ca);
        assert_eq!(constraints.value.path_len_constraint, Some(path_length));
        let authority_key_id =
            parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref(),
                _ => None,
            });
        assert_eq!(authority_key_id.unwrap().0, root.key_id());
    }
}

#[test]
fn serial_numbers_are_long_and_never_the_same() {
    let numbers: std::collections::BTreeSet<_> = (0..1000).map(|_| serial_number()).collect();
    assert_eq!(numbers.len(), 1000);
    // Positive, and 20 bytes without a leading zero.
    assert!(numbers.iter().all(|number| (0x40..0x80).contains(&number[0])));
}

#[test]
fn times_have_the_form_of_their_century() {
    let cases: [(u64, u8, &[u8]); 5] = [
        (0, der::UTC_TIME, b"700101000000Z"),
        (951_782_400, der::UTC_TIME, b"000229000000Z"),
        (2_524_607_999, der::UTC_TIME, b"491231235959Z"),
        (2_524_608_000, der::GENERALIZED_TIME, b"20500101000000Z"),
        (253_402_300_799, der::GENERALIZED_TIME, b"99991231235959Z"),
    ];
    for (at, tag, text) in cases {
        assert_eq!(time(at), element(tag, &[text]), "{at}");
    }
}

#[test]
fn lives_beyond_2050_are_verified() {
    let lifetimes = Lifetimes { root: DAY * 365 * 100, ..Lifetimes::default() };
    let late = now() + DAY * 365 * 90;
    let root = Root::generate(&TrustDomain::default(), &lifetimes, late);
    let intermediate =
        Intermediate::generate(&root, &TrustDomain::default(), &lifetimes, late).unwrap();
    verify(&root, &intermediate, &leaf_extensions(&identity("payments")), late).unwrap();
}

#[test]
fn hosts_are_never_certified() {
    let (domain, lifetimes) = (TrustDomain::default(), Lifetimes::default());
    let root = Root::generate(&domain, &lifetimes, now());
    let intermediate = Intermediate::generate(&root, &domain, &lifetimes, now()).unwrap();
    let workload = element(URI, &[identity("payments").as_str().as_bytes()]);
    let names: [(&[u8], bool); 4] = [
        (&[], true),
        (&element(DNS_NAME, &[b"bank.example"]), false),
        (&element(IP_ADDRESS, &[&[10, 0, 0, 1]]), false),
        (&element(IP_ADDRESS, &[&[0xfd; 16]]), false),
    ];
    for (name, is_accepted) in names {
        let names = sequence(&[&workload, name]);
        let usages = sequence(&[oid::SERVER_AUTH, oid::CLIENT_AUTH]);
        let extensions = [
            extension(oid::SUBJECT_ALT_NAME, true, &names),
            extension(oid::EXTENDED_KEY_USAGE, false, &usages),
        ];
        let found = verify(&root, &intermediate, &extensions.concat(), now());
        let refused = Untrusted::Chain(webpki::Error::NameConstraintViolation);
        assert_eq!(found, if is_accepted { Ok(()) } else { Err(refused) }, "{name:02x?}");
    }
}

/// Whether peers accept a leaf with these extensions.
fn verify(
    root: &Root,
    intermediate: &Intermediate,
    extensions: &[u8],
    now: SystemTime,
) -> Result<(), Untrusted> {
    let own = intermediate.certificate();
    let key = prove_possession(&KeyRequest::generate().csr).unwrap();
    let leaf = Certificate {
        subject: &no_name(),
        validity: Validity::new(now, now + Duration::from_secs(60)),
        public_key_info: &key.public_key_info,
        extensions,
    };
    let by = Signer { name: own.subject_name(), key_id: own.key_id(), key: intermediate.key() };
    let bundle: TrustBundle = [root.certificate().clone()].into_iter().collect();
    bundle.verify(&[leaf.sign(&by), own.der().clone()], now).map(drop)
}

#[test]
fn the_far_future_is_cut() {
    assert_eq!(secs(at_secs(u64::MAX)), 253_402_300_799);
}
