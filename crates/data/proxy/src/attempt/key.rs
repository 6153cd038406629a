//! What keeps requests together, for pickers that hash.

use std::rc::Rc;

use weft_message::cookie;
use weft_model::calling::{Calling, HashKey};
use weft_model::route::{Affinity, Cookie};
use weft_policy::sticky::Mark;
use weft_resilience::hash;

use crate::exchange::Exchange;
use crate::request::Scope;

/// The key of a request; `None` when the picker asks for none, or the request has nothing of what
/// is looked at: then chance decides. A client without the cookie is given one.
pub(super) fn of(scope: &Scope<'_>, x: &mut Exchange, calling: &Calling) -> Option<u64> {
    if !calling.picker.is_keyed() {
        return None;
    }
    match &calling.key {
        HashKey::ClientAddr => Some(scope.conn.client_key()),
        HashKey::Header(name) => x.req.fields.get(name).map(hash::stable),
        HashKey::Query(name) => {
            x.req.query_values(name).next().map(|value| hash::stable(value.as_bytes()))
        }
        HashKey::Cookie(settings) => Some(of_cookie(scope, x, settings)),
    }
}

fn of_cookie(scope: &Scope<'_>, x: &mut Exchange, settings: &Cookie) -> u64 {
    let known = cookie::find(&x.req.fields, &settings.name).filter(|value| !value.is_empty());
    if let Some(value) = known {
        return hash::stable(value);
    }
    let chance = scope.conn.worker.rng.word();
    let value = Mark::of(&format!("{}/{chance}", scope.conn.client));
    x.decided.marks.push((Rc::new(Affinity::Cookie(settings.clone())), value));
    hash::stable(value.as_str().as_bytes())
}
