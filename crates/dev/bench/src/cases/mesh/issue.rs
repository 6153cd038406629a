//! What the authority does in a second.

use std::hint::black_box;
use std::time::{Instant, SystemTime};

use weft_authority::{Authority, KeyRequest, Lifetimes, prove_possession};
use weft_model::identity::{Identity, TrustDomain};

use crate::report::{Finding, Rows, Section, number};

use super::Bench;

const CERTIFICATES: usize = 10_000;

/// Requests that are made beforehand; they are used in turn.
const REQUESTS: usize = 100;

pub(super) fn run(bench: &Bench) -> anyhow::Result<Section> {
    let count = if bench.is_quick { CERTIFICATES / 10 } else { CERTIFICATES };
    let now = SystemTime::now();
    let trust_domain = TrustDomain::default();
    let identity = Identity::new(&trust_domain, "shop", "payments")?;
    let authority = Authority::generate(trust_domain, Lifetimes::default(), now)?;
    let requests: Vec<KeyRequest> = (0..REQUESTS).map(|_| KeyRequest::generate()).collect();
    let mut rows = Rows::new(&["What", "a second", "µs each"]);
    let mut row = |what: &str, micros: f64| {
        rows.add(&[what, &number(1e6 / micros, ""), &number(micros, "")]);
    };
    let issued = measure(count, |index| {
        authority.sign(&requests[index % REQUESTS].csr, &identity, now).map(drop)
    })?;
    row("issued", issued);
    let proven =
        measure(count, |index| prove_possession(&requests[index % REQUESTS].csr).map(drop))?;
    row("of which: possession of the key proven", proven);
    let one = authority.sign(&requests[0].csr, &identity, now)?;
    row(
        "verified as a peer does, both usages",
        measure(count, |_| one.bundle.verify(&one.chain, now).map(drop))?,
    );
    let made = measure(count, |_| {
        black_box(KeyRequest::generate());
        Ok::<(), anyhow::Error>(())
    })?;
    row("keys and requests made", made);
    Ok(Section {
        title: format!("{count} certificates"),
        body: format!("On one core, ECDSA P-256.\n\n{}", rows.finish()),
        findings: vec![Finding {
            case: "issue",
            measure: "certificates issued a second".to_owned(),
            value: 1e6 / issued,
            interval: None,
            unit: "",
        }],
    })
}

/// Microseconds for each of `count`.
fn measure<E>(count: usize, mut once: impl FnMut(usize) -> Result<(), E>) -> Result<f64, E> {
    let start = Instant::now();
    for index in 0..count {
        once(index)?;
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / count as f64)
}
