//! A response as it came, taken apart strictly.

use crate::echo::Echo;

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status.
    pub status: u16,
    /// `HTTP/1.1`, `HTTP/1.0` or `HTTP/2`.
    pub version: String,
    /// Header fields in order.
    pub headers: Vec<(String, String)>,
    /// The head, byte for byte; empty over HTTP/2.
    pub head: Vec<u8>,
    /// The body, without its framing.
    pub body: Vec<u8>,
    /// Trailer fields.
    pub trailers: Vec<(String, String)>,
    /// Statuses of the interim responses before it.
    pub interim: Vec<u16>,
}

// === impl Response ===

impl Response {
    /// Takes a head apart; the body is empty.
    ///
    /// # Panics
    ///
    /// When it is not a head.
    pub(crate) fn of_head(head: Vec<u8>) -> Self {
        let text = String::from_utf8_lossy(&head).into_owned();
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let mut words = first.splitn(3, ' ');
        let version = words.next().unwrap_or_default().to_owned();
        assert!(version.starts_with("HTTP/1."), "not a response: {text:?}");
        let status = words.next().and_then(|word| word.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status in {first:?}"));
        let headers = fields(lines);
        Self {
            status,
            version,
            headers,
            head,
            body: Vec::new(),
            trailers: Vec::new(),
            interim: Vec::new(),
        }
    }

    /// The first value of a header, by name without regard to case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers_named(name).next()
    }

    /// All values of a header.
    pub fn headers_named(&self, name: &str) -> impl Iterator<Item = &str> {
        values(&self.headers, name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The echo of an origin.
    ///
    /// # Panics
    ///
    /// When the body is not one.
    pub fn echo(&self) -> Echo {
        assert_eq!(self.status, 200, "{}", self.text());
        Echo::parse(&self.body)
    }

    /// Who answered: the name of the origin that echoed, or the status.
    ///
    /// # Panics
    ///
    /// When the status is 200 and the body is no echo.
    pub fn who(&self) -> String {
        match self.status {
            200 => self.echo().backend,
            status => status.to_string(),
        }
    }

    /// Whether the peer said that it closes.
    pub fn says_close(&self) -> bool {
        self.headers_named("connection").any(|value| value.eq_ignore_ascii_case("close"))
    }

    pub(crate) fn is_chunked(&self) -> bool {
        self.headers_named("transfer-encoding").any(|value| value.eq_ignore_ascii_case("chunked"))
    }

    pub(crate) fn content_length(&self) -> Option<usize> {
        self.header("content-length")
            .map(|value| value.parse().unwrap_or_else(|_| panic!("content-length is {value:?}")))
    }
}

/// The values of a field, by name without regard to case.
pub(crate) fn values<'a>(
    fields: &'a [(String, String)],
    name: &str,
) -> impl Iterator<Item = &'a str> {
    let name = name.to_owned();
    fields
        .iter()
        .filter(move |(have, _)| have.eq_ignore_ascii_case(&name))
        .map(|(_, value)| value.as_str())
}

/// Field lines up to an empty one.
pub(crate) fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    lines
        .take_while(|line| !line.is_empty())
        .map(|line| {
            let (name, value) =
                line.split_once(':').unwrap_or_else(|| panic!("not a field line: {line:?}"));
            (name.to_owned(), value.trim_matches([' ', '\t']).to_owned())
        })
        .collect()
}
