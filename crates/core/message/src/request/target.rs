//! Reading request targets (RFC 9112 section 3.2).

use crate::authority::{self, InvalidHost};
use crate::bytes::find;
use crate::error::ParseError;
use crate::method::Method;
use crate::path::{self, InvalidTarget, PathRules};
use crate::request::RequestHead;
use crate::version::{Scheme, Version};

// === impl RequestHead ===

impl RequestHead {
    /// Reads the target of a request line, whose method is set already, and the Host field that
    /// came with it.
    #[inline]
    pub(crate) fn read_target(
        &mut self,
        target: &[u8],
        host: Option<&[u8]>,
        rules: &PathRules,
    ) -> Result<(), ParseError> {
        self.edit_text(|head, text| {
            text.clear();
            let is_origin_form = target.first() == Some(&b'/') && head.method != Method::Connect;
            let has_authority = if is_origin_form {
                head.read_path_and_query(target, rules, text).map_err(ParseError::Target)?;
                false
            } else {
                head.read_other_form(target, rules, text)?
            };
            match host {
                Some(host) if has_authority => head.check_host(host, text),
                Some(host) => head.read_authority(host, text).map_err(ParseError::Host),
                // Even an absolute target does not stand in for it (RFC 9112 section 3.2).
                None if head.version == Version::Http11 => Err(ParseError::MissingHost),
                None => Ok(()),
            }
        })
    }

    /// Authority, asterisk and absolute form. Whether the target brought an authority.
    #[cold]
    fn read_other_form(
        &mut self,
        target: &[u8],
        rules: &PathRules,
        text: &mut Vec<u8>,
    ) -> Result<bool, ParseError> {
        const FORM: ParseError = ParseError::Target(InvalidTarget::Form);
        if self.method == Method::Connect {
            (self.path_len, self.target_len) = (0, 0);
            self.read_authority(target, text).map_err(ParseError::Host)?;
            // A tunnel needs a port (RFC 9110 section 9.3.6).
            return if self.port.is_some() { Ok(true) } else { Err(FORM) };
        }
        if target == b"*" {
            self.read_asterisk(text).map_err(ParseError::Target)?;
            return Ok(false);
        }
        let colon = memchr::memchr(b':', target).ok_or(FORM)?;
        let rest = target[colon + 1..].strip_prefix(b"//").ok_or(FORM)?;
        self.scheme =
            Scheme::parse(&target[..colon]).ok_or(ParseError::Target(InvalidTarget::Scheme))?;
        let end = rest.iter().position(|&byte| matches!(byte, b'/' | b'?' | b'#' | b'\\'));
        let (authority, tail) = rest.split_at(end.unwrap_or(rest.len()));
        let read = if tail.starts_with(b"/") {
            self.read_path_and_query(tail, rules, text)
        } else if tail.is_empty() && self.method == Method::Options {
            // RFC 9112 section 3.2.4: a proxy sends the server-wide OPTIONS on as an asterisk.
            self.read_asterisk(text)
        } else {
            text.push(b'/');
            self.path_len = 1;
            self.read_query(tail, text)
        };
        read.map_err(ParseError::Target)?;
        self.read_authority(authority, text).map_err(ParseError::Host)?;
        Ok(true)
    }

    /// Reads `/path[?query]` into the empty `text`.
    #[inline]
    pub(crate) fn read_path_and_query(
        &mut self,
        target: &[u8],
        rules: &PathRules,
        text: &mut Vec<u8>,
    ) -> Result<(), InvalidTarget> {
        let path_end = find(b'?', target).unwrap_or(target.len());
        path::push_canonical(&target[..path_end], rules, text)?;
        self.path_len = text.len() as u32;
        self.read_query(&target[path_end..], text)
    }

    /// Reads `*`, the target of an OPTIONS request about the server.
    pub(crate) fn read_asterisk(&mut self, text: &mut Vec<u8>) -> Result<(), InvalidTarget> {
        if self.method != Method::Options {
            return Err(InvalidTarget::Form);
        }
        text.push(b'*');
        (self.path_len, self.target_len) = (1, 1);
        Ok(())
    }

    /// Reads nothing, or `?query`, after the path.
    #[inline]
    fn read_query(&mut self, tail: &[u8], text: &mut Vec<u8>) -> Result<(), InvalidTarget> {
        if let Some((&mark, query)) = tail.split_first() {
            match mark {
                b'?' => check_query(query)?,
                b'\\' => return Err(InvalidTarget::Backslash),
                _ => return Err(InvalidTarget::Fragment),
            }
            text.extend_from_slice(tail);
        }
        self.target_len = text.len() as u32;
        Ok(())
    }

    /// Reads `host[:port]` after the target.
    #[inline]
    pub(crate) fn read_authority(
        &mut self,
        authority: &[u8],
        text: &mut Vec<u8>,
    ) -> Result<(), InvalidHost> {
        text.truncate(self.target_len as usize);
        let found = authority::push_canonical(authority, text)?;
        self.host_len = found.host_len as u32;
        self.port = found.port;
        Ok(())
    }

    /// Refuses a Host field that differs from the authority, which is in `text` already. A port
    /// that the scheme means anyway may be left out on one side.
    pub(crate) fn check_host(&self, host: &[u8], text: &mut Vec<u8>) -> Result<(), ParseError> {
        let end = text.len();
        let found = authority::push_canonical(host, text).map_err(ParseError::Host)?;
        let start = self.target_len as usize;
        let same_host =
            text[end..end + found.host_len] == text[start..start + self.host_len as usize];
        text.truncate(end);
        let default = self.scheme.default_port();
        if same_host && found.port.unwrap_or(default) == self.port.unwrap_or(default) {
            Ok(())
        } else {
            Err(ParseError::HostMismatch)
        }
    }
}

// === functions ===

/// Takes every visible ASCII character but `#`.
pub(super) fn check_query(query: &[u8]) -> Result<(), InvalidTarget> {
    let fine = |byte: u8| (byte > 0x20) & (byte < 0x7f) & (byte != b'#');
    if query.iter().fold(true, |all, &byte| all & fine(byte)) {
        return Ok(());
    }
    Err(match query.iter().find(|&&byte| !fine(byte)) {
        Some(b'#') => InvalidTarget::Fragment,
        Some(0x80..) => InvalidTarget::NonAscii,
        _ => InvalidTarget::Control,
    })
}
