//! rustls's unbuffered connections, either side, one step at a time.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
    WriteTraffic,
};
use rustls::{ClientConfig, CommonState, Error, ServerConfig};
use rustls_pki_types::ServerName;
use weft_net::buffer::Inbox;

use super::outbox::{Needs, Outbox};

/// The state of one connection.
pub(crate) enum Session {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
}

/// What to do once the session can send.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act<'a> {
    /// Nothing: read only.
    Advance,
    /// Seal these bytes.
    Encrypt(&'a [u8]),
    /// Send `close_notify`.
    Close,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing to tell; step again.
    Again,
    /// A record of the session's own was put into the outbox.
    Encoded,
    /// Decrypted bytes were handed over.
    Plaintext,
    /// The act was done.
    Written,
    /// The act was to advance, and there is no whole record left.
    Ready,
    /// The handshake needs more bytes.
    NeedMore,
    /// The peer will send nothing more. Said once.
    PeerClosed,
    /// Both sides have said that they will send nothing more.
    Closed,
}

// === impl Session ===

impl Session {
    pub(crate) fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        Ok(Self::Server(Box::new(UnbufferedServerConnection::new(config)?)))
    }

    pub(crate) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, Error> {
        Ok(Self::Client(Box::new(UnbufferedClientConnection::new(config, name)?)))
    }

    pub(super) fn common(&self) -> &CommonState {
        match self {
            Self::Server(conn) => conn,
            Self::Client(conn) => conn,
        }
    }

    pub(super) fn is_server(&self) -> bool {
        matches!(self, Self::Server(_))
    }

    /// One step. The received bytes are always passed in, also for writing: a handshake message of
    /// which half was processed has to stay where it is.
    pub(super) fn step(
        &mut self,
        inbox: &mut Inbox,
        outbox: &mut Outbox,
        act: Act<'_>,
        plaintext: &mut dyn FnMut(&[u8]),
    ) -> Result<Step, Error> {
        let bytes = inbox.bytes_mut();
        let (discard, result) = match self {
            Self::Server(conn) => handle(conn.process_tls_records(bytes), outbox, act, plaintext),
            Self::Client(conn) => handle(conn.process_tls_records(bytes), outbox, act, plaintext),
        };
        inbox.consume(discard);
        result
    }

    /// After a failure: puts the alert, if there is one, into the outbox.
    pub(super) fn collect_alert(&mut self, inbox: &mut Inbox, outbox: &mut Outbox) {
        while self.common().wants_write() {
            let stepped = self.step(inbox, outbox, Act::Advance, &mut |_| {});
            if !matches!(stepped, Ok(Step::Encoded | Step::Plaintext)) {
                return;
            }
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_server() { "Server" } else { "Client" })
    }
}

fn handle<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    outbox: &mut Outbox,
    act: Act<'_>,
    plaintext: &mut dyn FnMut(&[u8]),
) -> (usize, Result<Step, Error>) {
    let UnbufferedStatus { mut discard, state } = status;
    let state = match state {
        Ok(state) => state,
        Err(error) => return (discard, Err(error)),
    };
    let step = match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                match record {
                    Ok(record) => {
                        discard += record.discard;
                        plaintext(record.payload);
                    }
                    Err(error) => return (discard, Err(error)),
                }
            }
            Ok(Step::Plaintext)
        }
        ConnectionState::EncodeTlsData(mut data) => {
            let encoded = outbox.push(|space| match data.encode(space) {
                Ok(count) => Ok(Ok(count)),
                Err(EncodeError::InsufficientSize(size)) => Ok(Err(needs(size))),
                Err(error @ EncodeError::AlreadyEncoded) => Err(failed(&error)),
            });
            encoded.map(|()| Step::Encoded)
        }
        ConnectionState::TransmitTlsData(data) => {
            // The outbox keeps the order and is sent before anything else.
            data.done();
            Ok(Step::Again)
        }
        ConnectionState::WriteTraffic(traffic) => write(traffic, outbox, act),
        ConnectionState::BlockedHandshake => Ok(Step::NeedMore),
        ConnectionState::PeerClosed => Ok(Step::PeerClosed),
        ConnectionState::Closed => Ok(Step::Closed),
        // Early data is never enabled, because it can be replayed.
        state => Err(failed(&format!("unexpected state {state:?}"))),
    };
    (discard, step)
}

fn write<Data>(
    mut traffic: WriteTraffic<'_, Data>,
    outbox: &mut Outbox,
    act: Act<'_>,
) -> Result<Step, Error> {
    let sized = |result| match result {
        Ok(count) => Ok(Ok(count)),
        Err(EncryptError::InsufficientSize(size)) => Ok(Err(needs(size))),
        Err(error @ EncryptError::EncryptExhausted) => Err(failed(&error)),
    };
    match act {
        Act::Advance => return Ok(Step::Ready),
        Act::Encrypt(bytes) => outbox.push(|space| sized(traffic.encrypt(bytes, space)))?,
        Act::Close => outbox.push(|space| sized(traffic.queue_close_notify(space)))?,
    }
    Ok(Step::Written)
}

fn needs(size: InsufficientSizeError) -> Needs {
    Needs(size.required_size)
}

fn failed(what: &impl ToString) -> Error {
    Error::General(what.to_string())
}
