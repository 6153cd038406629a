use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, GeneralSubtree, IsCa, KeyPair,
    KeyUsagePurpose, NameConstraints,
};

use super::*;
use crate::bundle::TrustBundle;
use crate::csr::{KeyRequest, prove_possession};
use crate::der;
use crate::fixtures::{DAY, Foreign, identity, now};
use crate::pem::{self, Pem};

fn root(certificate: &str, key: Option<&str>) -> Result<Root, String> {
    let key = key.map(|key| pem("root.key", key));
    Root::from_pem(pem("root.pem", certificate), key, now()).map_err(|error| error.to_string())
}

fn intermediate(chain: &str, key: &str, root: &Root) -> Result<Intermediate, String> {
    Intermediate::from_pem(
        pem("ca.pem", chain),
        pem("ca.key", key),
        root,
        &TrustDomain::default(),
        now(),
    )
    .map_err(|error| error.to_string())
}

fn pem<'a>(name: &'a str, text: &'a str) -> Pem<'a> {
    Pem { name, text: text.as_bytes() }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(found: Result<T, String>, expected: &str) {
    assert_eq!(found.map(|found| format!("{found:?}")), Err(expected.to_owned()));
}

/// Whether peers that trust its root accept what it signs.
fn signs(issuer: &Issuer) -> bool {
    let key = prove_possession(&KeyRequest::generate().csr).unwrap();
    let validity = Validity::new(now(), now() + DAY);
    let leaf = issuer.intermediate().sign(&key, &identity("payments"), validity);
    let above = issuer.intermediate().chain().iter().map(|found| found.der().clone());
    let chain: Vec<_> = [leaf].into_iter().chain(above).collect();
    let bundle: TrustBundle = [issuer.root().certificate().clone()].into_iter().collect();
    bundle.verify(&chain, now()).is_ok()
}

#[test]
fn a_supplied_root_signs_intermediates() {
    for kind in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
    ] {
        let made = Foreign::root_with("Example", KeyPair::generate_for(kind).unwrap(), |_| {});
        let root = root(&made.pem(), Some(&made.key_pem())).unwrap();
        assert!(root.has_key());
        let (domain, lifetimes) = (TrustDomain::default(), Lifetimes::default());
        let issuer = Issuer::under(root, &domain, &lifetimes, now()).unwrap();
        assert!(signs(&issuer), "{kind:?}");
        assert_eq!(issuer.not_after(), now() + 365 * DAY);
    }
}

#[test]
fn a_supplied_intermediate_signs_under_a_root_whose_key_is_elsewhere() {
    for kind in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519, &rcgen::PKCS_RSA_SHA256] {
        let made = Foreign::root("Example");
        let root = root(&made.pem(), None).unwrap();
        assert!(!root.has_key());
        let upper = made.under("Upper", |_| {});
        let lower = upper.under_with("Lower", KeyPair::generate_for(kind).unwrap(), |_| {});
        // The root itself may follow or not.
        for end in [String::new(), made.pem()] {
            let chain = lower.pem() + &upper.pem() + &end;
            let found = intermediate(&chain, &lower.key_pem(), &root).unwrap();
            assert_eq!(found.chain().len(), 2);
            assert!(signs(&Issuer::new(root.clone(), found).unwrap()), "{kind:?}");
        }
    }
}

#[test]
fn a_supply_is_a_root_with_its_key_or_with_an_intermediate() {
    let (made, other) = (Foreign::root("Example"), Foreign::root("Other"));
    let below = made.under("Workloads", |_| {});
    let (root, key) = (made.pem(), made.key_pem());
    let (chain, below_key, foreign) = (below.pem(), below.key_pem(), other.key_pem());
    let issuer = |root_key: Option<&str>, intermediate: Option<(&str, &str)>| {
        let supply = Supply {
            root: pem("root.pem", &root),
            root_key: root_key.map(|key| pem("root.key", key)),
            intermediate: intermediate
                .map(|(chain, key)| (pem("ca.pem", chain), pem("ca.key", key))),
        };
        Issuer::from_pem(&supply, &TrustDomain::default(), &Lifetimes::default(), now())
            .map_err(|error| error.to_string())
    };
    let is_theirs =
        |issuer: &Issuer| issuer.intermediate().certificate().der() == &below.certificate;
    let with_key = issuer(Some(&key), None).unwrap();
    assert!(signs(&with_key) && !is_theirs(&with_key));
    let with_intermediate = issuer(None, Some((&chain, &below_key))).unwrap();
    assert!(signs(&with_intermediate) && is_theirs(&with_intermediate));
    let with_both = issuer(Some(&key), Some((&chain, &below_key))).unwrap();
    assert!(with_both.root().has_key() && is_theirs(&with_both));
    let told = |found: Result<Issuer, String>, expected: &str| {
        let error = found.unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    };
    told(issuer(None, None), "root.pem cannot be used: the key of root");
    told(issuer(Some(&foreign), None), "root.key cannot be used: its key does not belong");
    told(issuer(None, Some((&chain, &foreign))), "ca.key cannot be used: its key does not belong");
}

#[test]
fn a_name_with_repeated_parts_is_kept_byte_for_byte() {
    // DC=com, DC=example: what directory services call their authorities.
    let oid: &[u8] = &[0x06, 10, 0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19];
    let part = |text: &str| {
        let text = der::element(0x16, &[text.as_bytes()]);
        der::element(der::SET, &[&der::sequence(&[oid, &text])])
    };
    let name = der::sequence(&[&part("com"), &part("example")]);
    let key = CaKey::generate();
    let certificate = Certificate {
        subject: &name,
        validity: Validity::new(now(), now() + DAY),
        public_key_info: &key.public_key_info(),
        extensions: &encode::ca_extensions(&TrustDomain::default(), key.public_key(), 1),
    };
    let der = certificate.sign(&Signer { name: &name, key_id: &[1], key: &key });
    let text = pem::block("CERTIFICATE", &der);
    let key = pem::block("PRIVATE KEY", key.der());
    let root = root(&text, Some(&key)).unwrap();
    assert_eq!(root.certificate().subject(), "DC=com, DC=example");
    let (domain, lifetimes) = (TrustDomain::default(), Lifetimes::default());
    assert!(signs(&Issuer::under(root, &domain, &lifetimes, now()).unwrap()));
}

#[test]
fn what_is_wrong_with_a_root_is_told() {
    let made = Foreign::root("Example");
    refused(root("", None), "root.pem cannot be used: it has no `BEGIN CERTIFICATE` block");
    refused(
        root(&(made.pem() + &Foreign::root("Other").pem()), None),
        "root.pem cannot be used: its root certificate must be alone in it, but there are 2",
    );
    let no_ca = Foreign::root_with("Example", KeyPair::generate().unwrap(), |params| {
        params.is_ca = IsCa::NoCa;
    });
    refused(
        root(&no_ca.pem(), None),
        "root.pem cannot be used: certificate 1 in it, it is not a certificate authority's: issue \
         it again with basicConstraints=critical,CA:TRUE",
    );
    let lower = made.under("Lower", |_| {});
    refused(
        root(&lower.pem(), None),
        "root.pem cannot be used: `CN=Lower` in it is not self-signed: supply the root, which \
         ends the chain",
    );
    let old = Foreign::root_with("Example", KeyPair::generate().unwrap(), |params| {
        params.not_after = (now() - 3 * DAY).into();
    });
    refused(
        root(&old.pem(), None),
        "root.pem cannot be used: `CN=Example` ended 3 d ago; supply one that is valid now",
    );
    let early = Foreign::root_with("Example", KeyPair::generate().unwrap(), |params| {
        params.not_before = (now() + DAY).into();
    });
    refused(
        root(&early.pem(), None),
        "root.pem cannot be used: `CN=Example` is valid only in 1 d; is the clock right?; supply \
         one that is valid now",
    );
}

#[test]
fn what_is_wrong_with_a_key_is_told() {
    let (made, other) = (Foreign::root("Example"), Foreign::root("Other"));
    let with = |key: &str| root(&made.pem(), Some(key));
    refused(with(""), "root.key cannot be used: it has no `BEGIN PRIVATE KEY` block");
    refused(
        with(&pem::block("ENCRYPTED PRIVATE KEY", b"x")),
        "root.key cannot be used: its key is encrypted; write it in the clear with `openssl pkey`, \
         and seal that",
    );
    refused(
        with(&other.key_pem()),
        "root.key cannot be used: its key does not belong to `CN=Example`: supply the two that \
         were made together",
    );
    let kind = "root.key cannot be used: its key is of a kind that does not sign here: take ECDSA \
                P-256 or P-384, Ed25519, or RSA";
    refused(with(&pem::block("PRIVATE KEY", b"x")), kind);
    let p521 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
    refused(with(&p521.serialize_pem()), kind);
}

#[test]
fn what_is_wrong_with_a_chain_is_told() {
    let made = Foreign::root("Example");
    let root = root(&made.pem(), None).unwrap();
    let upper = made.under("Upper", |_| {});
    let lower = upper.under("Lower", |_| {});
    let key = lower.key_pem();
    let check = |chain: String, expected: &str| {
        refused(intermediate(&chain, &key, &root), &format!("ca.pem cannot be used: {expected}"));
    };
    check(made.pem(), "`CN=Example` in it is the root itself: supply an intermediate under it");
    check(
        lower.pem(),
        "its chain is not complete: `CN=Lower` was not issued by `CN=Example`, which follows it; \
         give the intermediate first, then whatever leads from it to the root",
    );
    check(
        upper.pem() + &lower.pem(),
        "its chain is not complete: `CN=Upper` was not issued by `CN=Lower`, which follows it; \
         give the intermediate first, then whatever leads from it to the root",
    );
    check(
        lower.pem() + &made.under("Upper", |_| {}).pem(),
        "`CN=Lower` in it names `CN=Upper` as its issuer, but was not signed by its key",
    );
    let old = upper.under("Lower", |params| params.not_after = (now() - DAY).into());
    check(old.pem() + &upper.pem(), "`CN=Lower` ended 1 d ago; supply one that is valid now");
    check(
        lower.pem() + &pem::block("CERTIFICATE", b"x"),
        "certificate 2 in it, it is not an X.509 certificate",
    );
    let may_not = upper.under("Lower", |params| params.key_usages = vec![KeyUsagePurpose::CrlSign]);
    check(
        may_not.pem() + &upper.pem(),
        "certificate 1 in it, it may not sign certificates: issue it again with \
         keyUsage=critical,keyCertSign,cRLSign",
    );
}

#[test]
fn the_length_of_a_chain_may_be_limited() {
    let made = Foreign::root_with("Example", KeyPair::generate().unwrap(), |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    });
    let root = root(&made.pem(), None).unwrap();
    let upper = made.under("Upper", |_| {});
    assert!(intermediate(&upper.pem(), &upper.key_pem(), &root).is_ok());
    let lower = upper.under("Lower", |_| {});
    refused(
        intermediate(&(lower.pem() + &upper.pem()), &lower.key_pem(), &root),
        "ca.pem cannot be used: `CN=Example` allows 1 authorities under it, but 2 are there: issue \
         it again with a longer pathlen",
    );
}

#[test]
fn an_intermediate_is_tried_out() {
    let made = Foreign::root("Example");
    let root = root(&made.pem(), None).unwrap();
    let constrain = |params: &mut CertificateParams, permitted: GeneralSubtree| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![permitted],
            excluded_subtrees: Vec::new(),
        });
    };
    // Constraints on what leaves do not have are no hindrance.
    let hosts = made.under("Lower", |params| {
        constrain(params, GeneralSubtree::DnsName("example".into()));
    });
    assert!(intermediate(&hosts.pem(), &hosts.key_pem(), &root).is_ok());
    let subnet = CidrSubnet::from_v4_prefix([10, 0, 0, 0], 8);
    let addresses = made.under("Lower", |params| {
        constrain(params, GeneralSubtree::IpAddress(subnet));
    });
    assert!(intermediate(&addresses.pem(), &addresses.key_pem(), &root).is_ok());
    let for_mail = made.under("Lower", |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::EmailProtection];
    });
    let found = intermediate(&for_mail.pem(), &for_mail.key_pem(), &root).unwrap_err();
    assert!(
        found
            .starts_with("ca.pem cannot be used: no peer would accept a certificate that it signs"),
        "{found}"
    );
}

#[test]
fn weak_signatures_are_refused() {
    let rsa = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let made = Foreign::root_with("Example", rsa, |_| {});
    let lower = made.under("Lower", |_| {});
    // The identifier of RSA with SHA-256 becomes that of RSA with SHA-1.
    let sha256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
    let mut weak = lower.certificate.to_vec();
    for at in 0..weak.len() - sha256.len() {
        if weak[at..].starts_with(sha256) {
            weak[at + 8] = 5;
        }
    }
    let root = root(&made.pem(), None).unwrap();
    refused(
        intermediate(&pem::block("CERTIFICATE", &weak), &lower.key_pem(), &root),
        "ca.pem cannot be used: `CN=Lower` in it is signed by an algorithm that is too weak: issue \
         it again",
    );
}

#[test]
fn a_pair_belongs_together() {
    let (domain, lifetimes) = (TrustDomain::default(), Lifetimes::default());
    let a = Issuer::generate(&domain, &lifetimes, now());
    let b = Issuer::generate(&domain, &lifetimes, now());
    assert!(Issuer::new(a.root().clone(), a.intermediate().clone()).is_some());
    assert!(Issuer::new(a.root().clone(), b.intermediate().clone()).is_none());
}

#[test]
fn keys_are_not_shown() {
    let issuer = Issuer::generate(&TrustDomain::default(), &Lifetimes::default(), now());
    let shown = format!("{issuer:?}");
    assert!(shown.contains("CaKey { .. }"), "{shown}");
    assert!(!shown.contains("serialized"), "{shown}");
}
