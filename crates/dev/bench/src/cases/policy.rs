//! `cargo xtask bench policy`: what a rich policy costs a request, and what rules cost the control
//! plane.

mod compile;
mod rich;

use super::{Case, Suite};
use crate::RunArgs;
use crate::peers::Kind;

/// The product beside itself.
pub(crate) const SUITE: Suite = Suite {
    name: "policy",
    cases: CASES,
    peers: &[Kind::Weftway],
    setting: "Proxy on CPU 0 with one worker; origin and load on CPU 1; rounds interleaved; \
              compilation on one core",
};

const CASES: &[Case] = &[
    Case::new("rich", "a rich policy set beside a bare route", rich::run),
    Case::new("compile", "1,000 services with 5,000 rules", compile::fresh),
    Case::new("change-rule", "one of 5,000 rules changed", compile::changed),
];

/// Runs the chosen cases.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<()> {
    SUITE.run(args, &[])
}
