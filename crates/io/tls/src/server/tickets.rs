//! The keys of session tickets.
//!
//! A resumed session skips the client certificate, so a ticket that was issued under one rule for
//! client certificates must not open a door with another: an entry that asks for none, or trusts
//! other authorities, would let its tickets be used at one that is strict. rustls binds a ticket
//! to its server name; the keys here bind it to the rule as well, also across a change of it.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;
use weft_model::listener::{ClientAuth, TlsOptions};

/// One rotating ticket key (valid 12 hours, renewed every 6) per rule for client certificates.
#[derive(Debug, Clone, Default)]
pub(super) struct Ticketers(Vec<Kept>);

#[derive(Debug, Clone)]
struct Kept {
    rule: ClientAuth,
    ticketer: Arc<dyn ProducesTickets>,
    used: bool,
}

impl Ticketers {
    /// The ticketer for options, made if there is none yet.
    pub(super) fn ticketer(
        &mut self,
        options: &TlsOptions,
    ) -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
        if let Some(kept) = self.find(&options.client_auth) {
            return Ok(kept.ticketer.clone());
        }
        let (rule, ticketer) = (options.client_auth.clone(), Ticketer::new()?);
        self.0.push(Kept { rule, ticketer: ticketer.clone(), used: true });
        Ok(ticketer)
    }

    /// Notes that options of the table before are still in use.
    pub(super) fn keep(&mut self, options: &TlsOptions) {
        self.find(&options.client_auth);
    }

    /// Drops what no entry of this table used, so that a rule that comes back later starts anew.
    pub(super) fn forget_unused(&mut self) {
        self.0.retain(|kept| kept.used);
        for kept in &mut self.0 {
            kept.used = false;
        }
    }

    fn find(&mut self, rule: &ClientAuth) -> Option<&mut Kept> {
        let kept = self.0.iter_mut().find(|kept| kept.rule == *rule)?;
        kept.used = true;
        Some(kept)
    }
}
