//! How an application behaves: words with blanks between them.
//!
//! - `delay=300`: answers after so many milliseconds.
//! - `status=503`: with this status; `grpc=14`: with this status of gRPC.
//! - `set=name:value`: with this header, where `+` is a blank.
//! - `refuse`: takes no connections. Only where the application as a whole is told.
//! - `share=50`: so does it for this percentage of requests only; `first=2`: for the first so many
//!   requests that have the same `key` header. It answers the others well.

use std::time::Duration;

/// The request header that holds for one request what is told there.
pub(super) const HEADER: &str = "behave";

/// The request header that tells apart what `first` counts.
pub(super) const KEY: &str = "key";

/// What an application does.
#[derive(Debug, Clone, Default)]
pub(super) struct Behaviour {
    pub(super) delay: Duration,
    pub(super) status: Option<u16>,
    pub(super) grpc: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) refuses: bool,
    share: Option<u64>,
    first: Option<u64>,
}

// === impl Behaviour ===

impl Behaviour {
    pub(super) fn read(text: &str) -> Self {
        let mut behaviour = Self::default();
        for word in text.split_whitespace() {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let number = || value.parse::<u64>().unwrap_or_else(|_| panic!("{text}"));
            match name {
                "delay" => behaviour.delay = Duration::from_millis(number()),
                "status" => behaviour.status = Some(number() as u16),
                "grpc" => behaviour.grpc = number() as u16,
                "set" => {
                    let (name, value) = value.split_once(':').unwrap();
                    behaviour.headers.push((name.into(), value.replace('+', " ")));
                }
                "refuse" => behaviour.refuses = true,
                "share" => behaviour.share = Some(number()),
                "first" => behaviour.first = Some(number()),
                _ => panic!("{text}"),
            }
        }
        behaviour
    }

    /// What it is for a request: the one with that number of all, and with that number of those
    /// with its key, both counted from 0.
    pub(super) fn of(&self, number: u64, of_key: u64) -> Self {
        let is_meant = self.share.is_none_or(|share| scattered(number) % 100 < share)
            && self.first.is_none_or(|first| of_key < first);
        if is_meant { self.clone() } else { Self::default() }
    }
}

/// Another number for each, without a pattern that requests could fall in step with (splitmix64).
fn scattered(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
