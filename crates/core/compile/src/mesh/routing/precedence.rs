//! Which of several dialects holds for a service, and what is said of the others.

use weft_model::calling::Audience;
use weft_model::route::RouteSet;
use weft_resources::{Pos, Resource};

use super::view::View;
use crate::context::Output;
use crate::dialect;
use crate::remark::Place;

/// The rules of one dialect for some callers, with the documents that they come from.
pub(super) struct Table<'a> {
    pub(super) dialect: u8,
    pub(super) set: RouteSet,
    pub(super) documents: Vec<&'a Resource>,
    /// What its documents are called beside those of the same dialect; empty for its routes.
    pub(super) words: &'static str,
}

/// The sets of tables that stand in the order of precedence, without those of which nothing is left
/// to hold. Winners and losers are told of each other.
pub(super) fn settle(tables: Vec<Table<'_>>, view: &View<'_>, out: &mut Output) -> Vec<RouteSet> {
    let mut kept: Vec<Table<'_>> = Vec::new();
    for mut table in tables {
        for winner in &kept {
            let http = winner.set.http.is_some() && table.set.http.is_some();
            let tcp = winner.set.tcp.is_some() && table.set.tcp.is_some();
            if !(http || tcp) || !meets(&winner.set, &table.set) {
                continue;
            }
            let is_whole = covers(&winner.set, &table.set);
            let is_rival = winner.dialect != table.dialect || winner.words != table.words;
            if is_rival && !takes_up(winner, &table) {
                tell(winner, &table, is_whole, view, out);
            }
            if is_whole && is_rival {
                table.set.http = table.set.http.take().filter(|_| !http);
                table.set.tcp = table.set.tcp.take().filter(|_| !tcp);
            }
        }
        if table.set.http.is_some() || table.set.tcp.is_some() {
            kept.push(table);
        }
    }
    kept.into_iter().map(|table| table.set).collect()
}

/// Whether the rules of the winner have in them what the loser says.
fn takes_up(winner: &Table<'_>, loser: &Table<'_>) -> bool {
    let is_shaped = matches!(winner.dialect, dialect::GATEWAY_API | dialect::LINKERD);
    loser.words == super::profile::ANNOTATIONS && is_shaped && winner.words.is_empty()
}

/// Tells the documents of two tables of each other.
fn tell(winner: &Table<'_>, loser: &Table<'_>, is_whole: bool, view: &View<'_>, out: &mut Output) {
    let words = |table: &Table<'_>| match table.words {
        "" => dialect::words(table.dialect),
        words => words,
    };
    let extent = if is_whole { "" } else { " for some of the callers or ports" };
    for document in &loser.documents {
        for other in winner.documents.iter().filter(|other| other.key != document.key) {
            let other_place = view.place(other, Pos::default());
            let message = format!(
                "{other_place} speaks of calls to the same service, and {} comes before {}: its \
                 rules hold instead{extent}",
                words(winner),
                words(loser)
            );
            Place::whole(document).warn_with(out, message, "remove one of the two");
            let own_place = view.place(document, Pos::default());
            let message = format!("its rules hold instead of those of {own_place}{extent}");
            Place::whole(other).note(out, message);
        }
    }
}

/// Whether some caller and port are those of both.
fn meets(one: &RouteSet, other: &RouteSet) -> bool {
    let is_common = |one: &[Box<str>], other: &[Box<str>]| {
        one.is_empty() || other.is_empty() || one.iter().any(|name| other.contains(name))
    };
    let ports = one.ports.is_empty()
        || other.ports.is_empty()
        || one.ports.iter().any(|port| other.ports.contains(port));
    ports && is_common(&one.audience.namespaces, &other.audience.namespaces)
}

/// Whether every caller and port of `inner` is one of `outer`.
fn covers(outer: &RouteSet, inner: &RouteSet) -> bool {
    let ports = outer.ports.is_empty()
        || !inner.ports.is_empty() && inner.ports.iter().all(|port| outer.ports.contains(port));
    ports && is_within(&inner.audience, &outer.audience)
}

/// Whether every workload of `inner` is one of `outer`.
pub(super) fn is_within(inner: &Audience, outer: &Audience) -> bool {
    let namespaces = outer.namespaces.is_empty()
        || !inner.namespaces.is_empty()
            && inner.namespaces.iter().all(|name| outer.namespaces.contains(name));
    namespaces && outer.labels.iter().all(|label| inner.labels.contains(label))
}
