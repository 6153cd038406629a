//! Heads, from and to the types of the `http` crate.

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use weft_message::{Fields, HeadLimits, Method, PathRules, RequestHead, ResponseHead, Scheme};

use crate::error::{HeadError, WriteError};

/// Reads a request's head. When that fails, what decides the form of the answer is still in it.
pub(super) fn request(
    parts: &http::request::Parts,
    scheme: Scheme,
    limits: &HeadLimits,
    rules: &PathRules,
    head: &mut RequestHead,
) -> Result<(), HeadError> {
    let read = read_request(parts, scheme, limits, rules, head);
    if read.is_err() {
        head.clear();
        for name in [http::header::ACCEPT, http::header::CONTENT_TYPE] {
            for value in parts.headers.get_all(&name) {
                // A value that is refused here is refused as a reason to answer otherwise, too.
                let _ = head.append_h2(name.as_str(), value.as_bytes(), limits);
            }
        }
    }
    read
}

fn read_request(
    parts: &http::request::Parts,
    scheme: Scheme,
    limits: &HeadLimits,
    rules: &PathRules,
    head: &mut RequestHead,
) -> Result<(), HeadError> {
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let path = match parts.uri.path_and_query() {
        Some(path) => path.as_str(),
        None => "",
    };
    head.begin_h2(parts.method.as_str(), scheme, authority, path, limits, rules)
        .map_err(HeadError::Parse)?;
    for (name, value) in &parts.headers {
        head.append_h2(name.as_str(), value.as_bytes(), limits).map_err(HeadError::Parse)?;
    }
    head.finish_h2().map_err(HeadError::Parse)
}

/// Reads a response's head.
pub(super) fn response(
    parts: &http::response::Parts,
    limits: &HeadLimits,
    head: &mut ResponseHead,
) -> Result<(), HeadError> {
    head.begin_h2(parts.status.as_u16());
    for (name, value) in &parts.headers {
        head.append_h2(name.as_str(), value.as_bytes(), limits).map_err(HeadError::Parse)?;
    }
    Ok(())
}

/// Writes a request's head.
pub(super) fn to_request(head: &RequestHead) -> Result<Request<()>, WriteError> {
    let scheme = head.scheme().as_str();
    let uri = if *head.method() == Method::Connect {
        Uri::builder().authority(head.authority()).build()
    } else {
        Uri::builder()
            .scheme(scheme)
            .authority(if head.authority().is_empty() { "localhost" } else { head.authority() })
            .path_and_query(head.path_and_query())
            .build()
    };
    let mut request = Request::new(());
    *request.uri_mut() = uri.map_err(|_| WriteError::Field)?;
    *request.method_mut() = http::Method::from_bytes(head.method().as_str().as_bytes())
        .map_err(|_| WriteError::Field)?;
    *request.version_mut() = http::Version::HTTP_2;
    *request.headers_mut() = to_map(&head.fields)?;
    Ok(request)
}

/// Writes a response's head.
pub(super) fn to_response(head: &ResponseHead) -> Result<Response<()>, WriteError> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(head.status()).map_err(|_| WriteError::Field)?;
    *response.version_mut() = http::Version::HTTP_2;
    *response.headers_mut() = to_map(&head.fields)?;
    Ok(response)
}

/// Writes fields, as header or trailer section.
pub(super) fn to_map(fields: &Fields) -> Result<HeaderMap, WriteError> {
    let mut map = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields.iter() {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| WriteError::Field)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| WriteError::Field)?;
        map.append(name, value);
    }
    Ok(map)
}

/// Reads a trailer section; what may not be a trailer is left out.
pub(super) fn trailers(map: &HeaderMap) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in map {
        if weft_message::is_trailer_allowed(name.as_str()) {
            // The map holds only values that are valid here too.
            let _ = fields.append(name.as_str(), value.as_bytes());
        }
    }
    fields
}
