//! Passing open sockets to another process, so that it goes on accepting where we stop.
//!
//! The descriptors travel over a Unix socket (`SCM_RIGHTS`, unix(7)); each has a name, by which the
//! receiver knows what it is. A listening socket that was passed is one socket with two owners:
//! connections that wait to be accepted lose nothing when the first closes it.
//!
//! On the wire are frames, each with at most `BATCH_MAX` sockets: a header of 12 bytes (`WFPS`,
//! version, 1 in the last frame, number of sockets, bytes of the names), with which the descriptors
//! come, then each name with its length. Numbers are big-endian. Who may connect to the Unix socket
//! is the caller's to decide.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use socket2::{SockRef, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;

#[cfg(test)]
mod tests;

/// Of this protocol. A receiver that does not know it takes nothing, and the sender goes on.
const VERSION: u8 = 1;

const MAGIC: [u8; 4] = *b"WFPS";

const HEADER_BYTES: usize = 12;

/// Sockets in one frame; the kernel takes 253 (`SCM_MAX_FD`).
const BATCH_MAX: usize = 128;

/// Sockets in all: several workers on every port that a large gateway has.
const SOCKETS_MAX: usize = 16 << 10;

/// The longest name, bytes.
const NAME_BYTES_MAX: usize = 1024;

/// A socket that was received. Closed when it is dropped.
#[derive(Debug)]
pub struct Passed {
    /// What it is, in the words of the sender.
    pub name: String,
    /// The socket.
    pub socket: OwnedFd,
}

/// Sockets could not be passed.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The connection broke, or a socket could not be sent.
    #[error("the sockets could not be passed")]
    Io(#[source] io::Error),
    /// The sender speaks another version.
    #[error("the other process passes sockets by version {0} of the protocol, we by version 1")]
    Version(u8),
    /// The sender does not speak the protocol.
    #[error("the other process does not follow the protocol: {0}")]
    Malformed(&'static str),
    /// The kernel dropped descriptors.
    #[error("sockets were lost on the way; raise the limit of open files")]
    Lost,
    /// A name is too long or there are too many sockets.
    #[error("more than 16384 sockets, or a name of more than 1024 bytes")]
    TooLarge,
}

/// A received socket is not what it is taken for.
#[derive(Debug, thiserror::Error)]
pub enum WrongSocket {
    /// It is something else.
    #[error("socket `{name}` is not {expected}")]
    Kind {
        /// Its name.
        name: String,
        /// What was wanted.
        expected: &'static str,
    },
    /// The system does not say what it is.
    #[error("socket `{name}` cannot be used")]
    Io {
        /// Its name.
        name: String,
        /// The system's reason.
        source: io::Error,
    },
}

struct Header {
    is_last: bool,
    count: usize,
    names_bytes: usize,
}

/// Passes sockets with their names. They stay open here.
///
/// Not cancel safe: the receiver may have got some of them.
///
/// # Errors
///
/// [`PassError::Io`] or [`PassError::TooLarge`].
pub async fn send(
    stream: &mut UnixStream,
    sockets: &[(&str, BorrowedFd<'_>)],
) -> Result<(), PassError> {
    let is_long = |(name, _): &(&str, BorrowedFd<'_>)| name.len() > NAME_BYTES_MAX;
    if sockets.len() > SOCKETS_MAX || sockets.iter().any(is_long) {
        return Err(PassError::TooLarge);
    }
    let mut batches = sockets.chunks(BATCH_MAX).peekable();
    if batches.peek().is_none() {
        return send_batch(stream, &[], true).await;
    }
    while let Some(batch) = batches.next() {
        send_batch(stream, batch, batches.peek().is_none()).await?;
    }
    Ok(())
}

/// Receives what [`send`] passes.
///
/// Not cancel safe: sockets that were received are closed.
///
/// # Errors
///
/// [`PassError`]; what was received before it is closed.
pub async fn receive(stream: &mut UnixStream) -> Result<Vec<Passed>, PassError> {
    let mut all = Vec::new();
    loop {
        let (header, sockets) = receive_header(stream).await?;
        if all.len() + header.count > SOCKETS_MAX {
            return Err(PassError::TooLarge);
        }
        if sockets.len() != header.count {
            return Err(PassError::Malformed("the number of sockets is not the one announced"));
        }
        let mut names = vec![0; header.names_bytes];
        stream.read_exact(&mut names).await.map_err(PassError::Io)?;
        let mut names = &names[..];
        for socket in sockets {
            all.push(Passed { name: take_name(&mut names)?, socket });
        }
        if !names.is_empty() {
            return Err(PassError::Malformed("there are more names than sockets"));
        }
        if header.is_last {
            return Ok(all);
        }
    }
}

// === impl Passed ===

impl Passed {
    /// As a listening TCP socket.
    ///
    /// # Errors
    ///
    /// [`WrongSocket`].
    pub fn into_tcp_listener(self) -> Result<TcpListener, WrongSocket> {
        let is_listener = SockRef::from(&self.socket).is_listener();
        self.check(Type::STREAM, is_listener, "a listening TCP socket").map(Into::into)
    }

    /// As a UDP socket.
    ///
    /// # Errors
    ///
    /// [`WrongSocket`].
    pub fn into_udp_socket(self) -> Result<UdpSocket, WrongSocket> {
        self.check(Type::DGRAM, Ok(true), "a UDP socket").map(Into::into)
    }

    fn check(
        self,
        kind: Type,
        fits: io::Result<bool>,
        expected: &'static str,
    ) -> Result<OwnedFd, WrongSocket> {
        let socket = SockRef::from(&self.socket);
        let checked = fits.and_then(|fits| {
            let is_internet = socket.local_addr()?.as_socket().is_some();
            Ok(fits && is_internet && socket.r#type()? == kind)
        });
        match checked {
            Ok(true) => Ok(self.socket),
            Ok(false) => Err(WrongSocket::Kind { name: self.name, expected }),
            Err(source) => Err(WrongSocket::Io { name: self.name, source }),
        }
    }
}

// === impl Header ===

impl Header {
    fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let Self { is_last, count, names_bytes } = *self;
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = VERSION;
        bytes[5] = u8::from(is_last);
        bytes[6..8].copy_from_slice(&(count as u16).to_be_bytes());
        bytes[8..].copy_from_slice(&(names_bytes as u32).to_be_bytes());
        bytes
    }

    fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, PassError> {
        let [m0, m1, m2, m3, version, flags, c0, c1, n0, n1, n2, n3] = *bytes;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(PassError::Malformed("it does not begin with WFPS"));
        }
        if version != VERSION {
            return Err(PassError::Version(version));
        }
        let count = usize::from(u16::from_be_bytes([c0, c1]));
        let names_bytes = u32::from_be_bytes([n0, n1, n2, n3]) as usize;
        if count > BATCH_MAX || names_bytes > count * (NAME_BYTES_MAX + 2) {
            return Err(PassError::Malformed("a frame is too large"));
        }
        Ok(Self { is_last: flags & 1 == 1, count, names_bytes })
    }
}

// === functions ===

async fn send_batch(
    stream: &mut UnixStream,
    batch: &[(&str, BorrowedFd<'_>)],
    is_last: bool,
) -> Result<(), PassError> {
    let mut names = Vec::new();
    for (name, _) in batch {
        names.extend_from_slice(&(name.len() as u16).to_be_bytes());
        names.extend_from_slice(name.as_bytes());
    }
    let header = Header { is_last, count: batch.len(), names_bytes: names.len() }.to_bytes();
    let sockets: Vec<BorrowedFd<'_>> = batch.iter().map(|(_, socket)| *socket).collect();
    let sent = stream.async_io(Interest::WRITABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !sockets.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let bytes = [IoSlice::new(&header)];
        Ok(rustix::net::sendmsg(stream.as_fd(), &bytes, &mut control, SendFlags::NOSIGNAL)?)
    });
    let sent = sent.await.map_err(PassError::Io)?;
    // The rest, if there is any, goes without them.
    stream.write_all(&header[sent..]).await.map_err(PassError::Io)?;
    stream.write_all(&names).await.map_err(PassError::Io)
}

async fn receive_header(stream: &mut UnixStream) -> Result<(Header, Vec<OwnedFd>), PassError> {
    let mut header = [0; HEADER_BYTES];
    let mut sockets = Vec::new();
    let mut filled = 0;
    while filled < HEADER_BYTES {
        let received = stream.async_io(Interest::READABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH_MAX))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut bytes = [IoSliceMut::new(&mut header[filled..])];
            let flags = RecvFlags::CMSG_CLOEXEC;
            let received = rustix::net::recvmsg(stream.as_fd(), &mut bytes, &mut control, flags)?;
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    sockets.extend(descriptors);
                }
            }
            Ok(received)
        });
        let received = received.await.map_err(PassError::Io)?;
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(PassError::Lost);
        }
        if received.bytes == 0 {
            return Err(PassError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        filled += received.bytes;
    }
    Ok((Header::parse(&header)?, sockets))
}

fn take_name(names: &mut &[u8]) -> Result<String, PassError> {
    let (length, rest) = names.split_first_chunk::<2>().ok_or(MISSING_NAME)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (name, rest) = rest.split_at_checked(length).ok_or(MISSING_NAME)?;
    *names = rest;
    String::from_utf8(name.into()).map_err(|_| PassError::Malformed("a name is not UTF-8"))
}

const MISSING_NAME: PassError = PassError::Malformed("a socket has no name");
