//! Issues certificates on one core and prints how many a second.
//!
//! ```text
//! issue [COUNT]    10,000 unless given
//! ```

#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock and its arguments")]
#![expect(clippy::print_stdout, reason = "a measurement prints what it measured")]

use std::error::Error;
use std::hint::black_box;
use std::time::{Instant, SystemTime};

use weft_authority::{Authority, KeyRequest, Lifetimes, prove_possession};
use weft_model::identity::{Identity, TrustDomain};

/// Requests that are made beforehand; they are used in turn.
const REQUESTS: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let count = std::env::args().nth(1).map_or(Ok(10_000), |count| count.parse())?;
    let now = SystemTime::now();
    let trust_domain = TrustDomain::default();
    let identity = Identity::new(&trust_domain, "shop", "payments")?;
    let authority = Authority::generate(trust_domain, Lifetimes::default(), now)?;
    let requests: Vec<KeyRequest> = (0..REQUESTS).map(|_| KeyRequest::generate()).collect();

    measure("issued", count, |index| {
        authority.sign(&requests[index % REQUESTS].csr, &identity, now).map(drop)
    })?;
    measure("of which: possession proven", count, |index| {
        prove_possession(&requests[index % REQUESTS].csr).map(drop)
    })?;
    let issued = authority.sign(&requests[0].csr, &identity, now)?;
    measure("verified as a peer does, both usages", count, |_| {
        issued.bundle.verify(&issued.chain, now).map(drop)
    })?;
    measure("keys and requests made", count, |_| {
        black_box(KeyRequest::generate());
        Ok::<(), Box<dyn Error>>(())
    })
}

fn measure<E>(
    what: &str,
    count: usize,
    mut once: impl FnMut(usize) -> Result<(), E>,
) -> Result<(), Box<dyn Error>>
where
    Box<dyn Error>: From<E>,
{
    let start = Instant::now();
    for index in 0..count {
        once(index)?;
    }
    let took = start.elapsed();
    let per_sec = count as f64 / took.as_secs_f64();
    let micros = took.as_secs_f64() * 1e6 / count as f64;
    println!("{what}: {count} in {took:.2?}, {per_sec:.0}/s, {micros:.1} us each");
    Ok(())
}
