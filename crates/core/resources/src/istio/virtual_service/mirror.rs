//! Who gets copies of requests.

use crate::istio::destination::Destination;
use crate::istio::value::{Percent, written};
use crate::problem::Pos;
use crate::read::Reader;

/// Somebody who gets copies of requests, whose answers nobody waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct Mirror {
    /// Where the copies go.
    pub destination: Destination,
    /// Of how many requests; of all by default.
    pub percent: Percent,
    /// Where it is written.
    pub at: Pos,
}

// === impl Mirror ===

impl Mirror {
    /// Takes `mirrors`, and the `mirror` of before there were several.
    pub(super) fn take_all(reader: &Reader<'_, '_>) -> Vec<Self> {
        let mut all = reader.list("mirrors", |item| item.nested(Self::read));
        let percent = old_percent(reader);
        let Some(field) = reader.take("mirror") else {
            if percent.is_some() {
                let fix = Some("write `percentage` in each of `mirrors`".into());
                reader.warn("without `mirror` its percentage has no effect", fix);
            }
            return all;
        };
        if !all.is_empty() {
            let fix = Some("keep `mirrors`".into());
            field.error("`mirror` and `mirrors` exclude each other", fix);
        }
        all.extend(field.nested(|mirror| {
            let destination = Destination::read(mirror)?;
            Some(Self { destination, percent: percent.unwrap_or(Percent::ALL), at: mirror.at() })
        }));
        all
    }

    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let percent = reader.take("percentage").map(|field| Percent::message(&field));
        let destination = reader.require("destination")?.nested(Destination::read)?;
        let percent = percent.unwrap_or(Some(Percent::ALL))?;
        Some(Self { destination, percent, at: reader.at() })
    }
}

/// The share of `mirror`, of which the newest name holds.
fn old_percent(reader: &Reader<'_, '_>) -> Option<Percent> {
    let newest = reader.take("mirrorPercentage").and_then(|field| Percent::message(&field));
    let old = [reader.take("mirrorPercent"), written(reader, "mirror_percent")].map(|field| {
        let field = field?;
        let fix = "write mirrorPercentage: {value: N}".into();
        field.warn("this is the old name of `mirrorPercentage`", Some(fix));
        Percent::read(&field)
    });
    newest.or(old.into_iter().flatten().next())
}
