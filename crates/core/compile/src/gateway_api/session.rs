//! Session persistence by cookies and headers.

use weft_message::{FieldName, Known};
use weft_model::route::{Affinity, Cookie, SessionHeader, Word};
use weft_policy::fields::is_settable;
use weft_resources::gateway_api::http::SessionPersistence;

use crate::context::Output;
use crate::remark::Place;

/// What keeps a client on the endpoint of a rule's backend, unless there can be no such header.
pub(crate) fn affinity(
    session: &SessionPersistence,
    rule: &str,
    place: Place<'_>,
    out: &mut Output,
) -> Option<Affinity> {
    let name = session.name.clone().unwrap_or_else(|| default_name(rule));
    if session.idle_timeout.is_some() {
        place.warn(out, "`idleTimeout` has no effect: a session lasts until its absolute timeout");
    }
    match session.by_header {
        true => by_header(session, &name, place, out).map(Affinity::Header),
        false => Some(Affinity::Cookie(by_cookie(session, name, place, out))),
    }
}

fn by_header(
    session: &SessionPersistence,
    name: &str,
    place: Place<'_>,
    out: &mut Output,
) -> Option<SessionHeader> {
    let Some(header) = header(name) else {
        let message =
            format!("`{name}` is no header that could be given to clients; requests are spread");
        place.error_with(out, message, "write another name, such as x-session");
        return None;
    };
    if session.absolute_timeout.is_some() {
        let message = "`absoluteTimeout` has no effect on a session by header: it lasts as long as \
                       the client sends the header";
        place.warn(out, message);
    }
    Some(SessionHeader { name: header.as_str().into(), word: Word::Endpoint })
}

fn by_cookie(
    session: &SessionPersistence,
    name: Box<str>,
    place: Place<'_>,
    out: &mut Output,
) -> Cookie {
    if session.absolute_timeout.is_some() && !session.permanent {
        place.warn(
            out,
            "`absoluteTimeout` has no effect on a session cookie: it lasts as long as the \
             browser's session",
        );
    }
    let timeout = session.absolute_timeout.filter(|_| session.permanent);
    Cookie {
        name,
        path: session.path.clone().unwrap_or_else(|| "/".into()),
        domain: "".into(),
        http_only: true,
        secure: false,
        same_site: "".into(),
        max_age_secs: timeout.map_or(0, |timeout| timeout.as_secs().max(1) as i64),
    }
}

/// The header of that name, if it means nothing else to who reads messages.
fn header(name: &str) -> Option<FieldName> {
    let taken = [Known::Host, Known::Cookie, Known::SetCookie, Known::Authorization].map(Some);
    let name = FieldName::new(name).ok()?;
    (is_settable(&name) && !taken.contains(&name.id())).then_some(name)
}

/// The same in every generation and process, different for every rule.
fn default_name(rule: &str) -> Box<str> {
    // FNV-1a.
    let hash = rule.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("weft-{:08x}", hash >> 32).into()
}
