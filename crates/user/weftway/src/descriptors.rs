//! How many files and sockets this process may have open.

#[cfg(test)]
mod tests;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What roles that serve many connections can make use of: two for each that the limits allow by
/// default, and some more.
const WANTED: u64 = 1 << 18;

/// Takes as many as the system allows: 1,024 are usual, which end long before other limits do.
///
/// For roles that start no programs of others. Those inherit the limit, and some of them cannot bear
/// with numbers above 1,024.
pub(crate) fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(WANTED, |maximum| maximum.min(WANTED));
    if current.is_some_and(|current| current < wanted) {
        // It is no more than allowed; whoever forbids it all the same means it.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}
