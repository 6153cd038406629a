//! Messages and descriptors over a Unix socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::VERSION;

/// The largest message, bytes: arguments and environment of a process fit in (Linux allows 128 KiB
/// for one of them and 2 MiB for all, which nobody needs).
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Descriptors of one message: standard input, output and error.
pub(crate) const DESCRIPTORS: usize = 3;

const READ_BYTES: usize = 16 << 10;

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Channel {
    stream: UnixStream,
    received: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

/// The connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The socket failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The other side speaks another version.
    #[error(
        "the other side speaks version {0} of the node's protocol, and this program version 1; use programs of neighbouring versions"
    )]
    Version(u32),
    /// The other side sent what is no message.
    #[error("the other side sent what is no message")]
    Form(#[source] serde_json::Error),
    /// The message is too long.
    #[error("a message of {0} bytes is too long: at most 1,048,576 are allowed")]
    Length(usize),
    /// The other side has closed in the midst of a message.
    #[error("the other side closed in the midst of a message")]
    Cut,
}

#[derive(Serialize)]
struct Sent<'a, T> {
    version: u32,
    message: &'a T,
}

/// The version is looked at first: the message of another one need not be readable.
#[derive(Deserialize)]
struct Received {
    version: u32,
    message: serde_json::Value,
}

/// The message that `bytes` begin with, and how many of them it has; `None` when it is not whole.
///
/// # Errors
///
/// When no message begins like that.
pub fn read_message<T: DeserializeOwned>(bytes: &[u8]) -> Result<Option<(T, usize)>, ChannelError> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(ChannelError::Length(length));
    }
    let Some(body) = rest.get(..length) else { return Ok(None) };
    let Received { version, message } = serde_json::from_slice(body).map_err(ChannelError::Form)?;
    if version != VERSION {
        return Err(ChannelError::Version(version));
    }
    let message = serde_json::from_value(message).map_err(ChannelError::Form)?;
    Ok(Some((message, 4 + length)))
}

/// A message as it is sent.
///
/// # Errors
///
/// [`ChannelError::Length`], or what cannot be written as JSON.
pub fn write_message<T: Serialize>(message: &T) -> Result<Vec<u8>, ChannelError> {
    let body = serde_json::to_vec(&Sent { version: VERSION, message });
    let body = body.map_err(ChannelError::Form)?;
    if body.len() > MESSAGE_BYTES_MAX {
        return Err(ChannelError::Length(body.len()));
    }
    Ok([&(body.len() as u32).to_be_bytes()[..], &body].concat())
}

// === impl Channel ===

impl Channel {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, received: Vec::new(), descriptors: VecDeque::new() }
    }

    /// The descriptors that came with the last messages and were not taken.
    pub(crate) fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        self.descriptors.drain(..).collect()
    }

    /// The next message; `None` when the other side has closed.
    ///
    /// Cancel safe: what has arrived stays.
    pub(crate) async fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ChannelError> {
        loop {
            if let Some(message) = self.next_message()? {
                return Ok(Some(message));
            }
            if self.read().await? == 0 {
                return if self.received.is_empty() { Ok(None) } else { Err(ChannelError::Cut) };
            }
        }
    }

    /// Sends a message, its descriptors beside its first byte.
    ///
    /// Not cancel safe: half a message ends the connection.
    pub(crate) async fn send<T: Serialize>(
        &mut self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ChannelError> {
        let bytes = write_message(message)?;
        let mut written = 0;
        while written < bytes.len() {
            let descriptors = if written == 0 { descriptors } else { &[] };
            let write = || {
                let mut space =
                    [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                if !descriptors.is_empty() {
                    control.push(SendAncillaryMessage::ScmRights(descriptors));
                }
                let slices = [IoSlice::new(&bytes[written..])];
                Ok(sendmsg(&self.stream, &slices, &mut control, SendFlags::NOSIGNAL)?)
            };
            written += self.stream.async_io(Interest::WRITABLE, write).await?;
        }
        Ok(())
    }

    fn next_message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ChannelError> {
        let Some((message, bytes)) = read_message(&self.received)? else { return Ok(None) };
        self.received.drain(..bytes);
        Ok(Some(message))
    }

    async fn read(&mut self) -> io::Result<usize> {
        let Self { stream, received, descriptors } = self;
        let mut read = || {
            // On the stack of this call, so that a waiting connection owns no buffer.
            let mut chunk = [0; READ_BYTES];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut slices = [IoSliceMut::new(&mut chunk)];
            let got = recvmsg(&*stream, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(arrived) = message {
                    // More than anybody asked for are closed, or a peer could use up ours.
                    let room = DESCRIPTORS.saturating_sub(descriptors.len());
                    descriptors.extend(arrived.take(room));
                }
            }
            received.extend_from_slice(&chunk[..got.bytes]);
            Ok(got.bytes)
        };
        stream.async_io(Interest::READABLE, &mut read).await
    }
}
