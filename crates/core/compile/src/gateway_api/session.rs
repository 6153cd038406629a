//! Session persistence as cookies.

use weft_model::route::StickyCookie;
use weft_resources::gateway_api::http::SessionPersistence;

use crate::context::Output;
use crate::remark::Place;

/// The cookie of a rule, unless what it asks for is not supported.
pub(crate) fn cookie(
    session: &SessionPersistence,
    rule: &str,
    place: Place<'_>,
    out: &mut Output,
) -> Option<StickyCookie> {
    if session.by_header {
        place.error_with(
            out,
            "session persistence by header is not supported; requests are spread",
            "write type: Cookie",
        );
        return None;
    }
    if session.absolute_timeout.is_some() && !session.permanent {
        place.warn(
            out,
            "`absoluteTimeout` has no effect on a session cookie: it lasts as long as the \
             browser's session",
        );
    }
    if session.idle_timeout.is_some() {
        place.warn(out, "`idleTimeout` has no effect: a session lasts until its absolute timeout");
    }
    let timeout = session.absolute_timeout.filter(|_| session.permanent);
    Some(StickyCookie {
        name: session.name.clone().unwrap_or_else(|| default_name(rule)),
        path: session.path.clone().unwrap_or_else(|| "/".into()),
        domain: "".into(),
        http_only: true,
        secure: false,
        same_site: "".into(),
        max_age_secs: timeout.map_or(0, |timeout| timeout.as_secs().max(1) as i64),
    })
}

/// The same in every generation and process, different for every rule.
fn default_name(rule: &str) -> Box<str> {
    // FNV-1a.
    let hash = rule.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("weft-{:08x}", hash >> 32).into()
}
