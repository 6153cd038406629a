//! Random bytes for serial numbers, salts, nonces and tokens.

/// Bytes that nobody can guess.
///
/// # Panics
///
/// When the system has no randomness; aws-lc would rather end the process than return then.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    bytes
}
