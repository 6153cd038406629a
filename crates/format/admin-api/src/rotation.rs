//! How far a rotation of the root has come, and what it waits for.

use serde::{Deserialize, Serialize};

/// Answer of `/rotation`, and of a step that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationView {
    /// How far it has come.
    pub phase: PhaseView,
    /// For how many seconds it has been so; none when no rotation is under way.
    pub since_secs: Option<u64>,
    /// Fingerprint of the root that signs.
    pub signing: String,
    /// Fingerprint of the other root that is trusted: one that will sign, or has.
    pub other: Option<String>,
    /// The steps that can follow, and what is in the way of each.
    pub steps: Vec<StepView>,
}

/// How far a rotation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseView {
    /// None is under way.
    Steady,
    /// A new root is trusted and does not sign yet.
    Prepared,
    /// The new root signs, and the old one is still trusted.
    Switched,
}

/// A step that can follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// Which.
    pub step: StepName,
    /// The live proxies that it would strand.
    pub hindrances: Vec<HindranceView>,
}

/// A step of a rotation, the last part of `POST /rotation/...`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepName {
    /// A new root is trusted beside the old one.
    Prepare,
    /// The new root signs.
    Switch,
    /// The old root is no longer trusted.
    Retire,
    /// The new root is dropped before it has signed.
    Cancel,
    /// The old root signs again.
    Revert,
}

/// A live proxy that a step would strand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HindranceView {
    /// Its workload, `namespace/name`.
    pub workload: String,
    /// Why, with its name.
    pub why: String,
    /// Whether it is connected; one that is not cannot be helped from here.
    pub is_connected: bool,
    /// For how many seconds its certificate is valid, at most.
    pub left_secs: u64,
}

/// Answer, with status 409, to a change that was not made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalView {
    /// Why.
    pub message: String,
    /// What was the way of things at that moment, when a step of a rotation was refused.
    pub rotation: Option<RotationView>,
}

// === impl RotationView ===

impl RotationView {
    /// What is in the way of a step; none when the step cannot follow now.
    pub fn hindrances(&self, step: StepName) -> Option<&[HindranceView]> {
        let found = self.steps.iter().find(|it| it.step == step);
        found.map(|it| it.hindrances.as_slice())
    }
}

// === impl StepName ===

impl StepName {
    /// Every step.
    pub const ALL: [Self; 5] =
        [Self::Prepare, Self::Switch, Self::Retire, Self::Cancel, Self::Revert];

    /// As it is written in JSON and in the path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Switch => "switch",
            Self::Retire => "retire",
            Self::Cancel => "cancel",
            Self::Revert => "revert",
        }
    }
}
