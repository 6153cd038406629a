//! The steps of a rotation, checked against what the proxies say.

use std::time::SystemTime;

use weft_authority::{Authority, Intermediate, Issuer, ProxyReport, RefusedRotation};

use crate::keeper::CannotChange;
use crate::plane::ControlPlane;

type Step = Result<(), CannotChange<RefusedRotation>>;

impl ControlPlane {
    /// Lets every proxy trust a new root beside the old one: `next`, or one that is made here.
    ///
    /// # Errors
    ///
    /// As [`weft_authority::Rotation::prepare`] says, or that it cannot be written down.
    pub async fn prepare(&self, next: Option<Issuer>) -> Step {
        let step = |authority: &mut Authority, _: &[ProxyReport], now| {
            let next = next.unwrap_or_else(|| authority.new_issuer(now));
            authority.rotation_mut().prepare(next, now)
        };
        self.step("prepare", step).await
    }

    /// Lets the new root sign, and every proxy renew.
    ///
    /// # Errors
    ///
    /// As [`weft_authority::Rotation::switch`] says, or that it cannot be written down.
    pub async fn switch(&self) -> Step {
        let step = |authority: &mut Authority, fleet: &[ProxyReport], now| {
            authority.rotation_mut().switch(fleet, now)
        };
        self.step("switch", step).await
    }

    /// Lets every proxy trust the new root alone.
    ///
    /// # Errors
    ///
    /// As [`weft_authority::Rotation::retire`] says, or that it cannot be written down.
    pub async fn retire(&self) -> Step {
        let step = |authority: &mut Authority, fleet: &[ProxyReport], now| {
            authority.rotation_mut().retire(fleet, now)
        };
        self.step("retire", step).await
    }

    /// Drops the new root before it has signed.
    ///
    /// # Errors
    ///
    /// As [`weft_authority::Rotation::cancel`] says, or that it cannot be written down.
    pub async fn cancel(&self) -> Step {
        let step = |authority: &mut Authority, fleet: &[ProxyReport], now| {
            authority.rotation_mut().cancel(fleet, now)
        };
        self.step("cancel", step).await
    }

    /// Lets the old root sign again.
    ///
    /// # Errors
    ///
    /// As [`weft_authority::Rotation::revert`] says, or that it cannot be written down.
    pub async fn revert(&self) -> Step {
        let step = |authority: &mut Authority, fleet: &[ProxyReport], now| {
            authority.rotation_mut().revert(fleet, now)
        };
        self.step("revert", step).await
    }

    /// Makes a new intermediate under the same root. Done by itself in time.
    ///
    /// # Errors
    ///
    /// As [`Authority::renew_intermediate`] says, or that it cannot be written down.
    pub async fn renew_intermediate(&self) -> Step {
        self.step("renew the intermediate", Authority::renew_intermediate).await
    }

    /// Lets an intermediate of the operator's sign, under the same root.
    ///
    /// # Errors
    ///
    /// As [`weft_authority::Rotation::replace_intermediate`] says, or that it cannot be written
    /// down.
    pub async fn replace_intermediate(&self, next: Intermediate) -> Step {
        let step = |authority: &mut Authority, fleet: &[ProxyReport], now| {
            authority.rotation_mut().replace_intermediate(next, fleet, now)
        };
        self.step("replace the intermediate", step).await
    }

    async fn step(
        &self,
        name: &'static str,
        step: impl FnOnce(&mut Authority, &[ProxyReport], SystemTime) -> Result<(), RefusedRotation>,
    ) -> Step {
        let parts = &self.0;
        let now = parts.settings.clock.now();
        let made = parts.keeper.change(|state| {
            // Asked for as late as this: no certificate is given between this and the step.
            step(&mut state.authority, &parts.registry.reports(), now)
        });
        let made = made.await;
        match &made {
            Ok(()) => tracing::info!(target: "audit", step = name, "the authority has changed"),
            Err(error) => tracing::warn!(target: "audit", step = name, %error, "refused"),
        }
        made
    }
}
