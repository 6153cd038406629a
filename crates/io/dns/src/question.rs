//! Reading queries, and writing replies to them.

use hickory_proto::op::{
    Edns, Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode,
};
use hickory_proto::rr::{Name, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder};

/// What a query came over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams: a reply that is too long is cut and marked, and asked for again over TCP.
    Udp,
    /// A stream.
    Tcp,
}

/// A query that makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    metadata: Metadata,
    query: Query,
    edns: Option<Edns>,
    transport: Transport,
}

/// A query that does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// There is nobody to tell.
    Silent,
    /// It is answered with this.
    Told(Vec<u8>),
}

/// The sections of a reply.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sections {
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    /// Left out if there is no room.
    pub(crate) additionals: Vec<Record>,
}

/// The longest reply over UDP to those who do not speak EDNS (RFC 1035 section 2.3.4).
const PLAIN_UDP_BYTES: u16 = 512;

/// The longest reply of ours over UDP, and the longest query we announce to take. The way is the
/// loopback device, so packets that would be cut into fragments elsewhere are whole here.
pub(crate) const UDP_BYTES: u16 = 4096;

/// The only version of EDNS (RFC 6891 section 6.1.3).
const EDNS_VERSION: u8 = 0;

/// Our OPT record: root name, type, class, TTL, length, no options.
const OPT_BYTES: u16 = 11;

/// Where a header has its flags, and the flag that says that the message was cut
/// (RFC 1035 section 4.1.1).
const FLAGS_AT: usize = 2;
const TRUNCATED: u8 = 0x02;

// === impl Question ===

impl Question {
    /// Reads a query. Bytes after its end are passed over.
    pub(crate) fn read(bytes: &[u8], transport: Transport) -> Result<Self, Unreadable> {
        let mut decoder = BinDecoder::new(bytes);
        let header = Header::read(&mut decoder).map_err(|_| Unreadable::Silent)?;
        let Header { metadata, counts } = header;
        // A reply to a reply might go on for ever.
        if metadata.message_type == MessageType::Response {
            return Err(Unreadable::Silent);
        }
        if metadata.op_code != OpCode::Query {
            return Err(refusal(&metadata, ResponseCode::NotImp));
        }
        let malformed = || refusal(&metadata, ResponseCode::FormErr);
        if (counts.queries, counts.answers, counts.authorities) != (1, 0, 0) {
            return Err(malformed());
        }
        let query = Query::read(&mut decoder).map_err(|_| malformed())?;
        let additionals = usize::from(counts.additionals);
        let (_, edns, _) = Message::read_records(&mut decoder, additionals, true, metadata.op_code)
            .map_err(|_| malformed())?;
        let question = Self { metadata, query, edns, transport };
        if question.edns.as_ref().is_some_and(|edns| edns.version() != EDNS_VERSION) {
            return Err(told(question.failure(ResponseCode::BADVERS)));
        }
        Ok(question)
    }

    /// The name that is asked for, in the case in which it was written.
    pub(crate) fn name(&self) -> &Name {
        &self.query.name
    }

    /// What is asked for.
    pub(crate) fn query(&self) -> &Query {
        &self.query
    }

    /// The number by which the client knows its reply.
    pub(crate) fn id(&self) -> u16 {
        self.metadata.id
    }

    /// What it came over.
    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// The longest reply that the client takes.
    pub fn reply_bytes_max(&self) -> usize {
        usize::from(self.client_max())
    }

    /// A reply of our own. `None` if it cannot be written.
    pub(crate) fn reply(&self, code: ResponseCode, sections: Sections) -> Option<Vec<u8>> {
        let mut message = self.empty_reply(code);
        message.metadata.authoritative = true;
        message.answers = sections.answers;
        message.authorities = sections.authorities;
        message.additionals = sections.additionals;
        let own_max = match self.transport {
            Transport::Udp => UDP_BYTES,
            Transport::Tcp => u16::MAX,
        };
        write(message, own_max.min(self.client_max()))
    }

    /// The reply that says that no answer could be had. `None` if it cannot be written.
    pub(crate) fn failure(&self, code: ResponseCode) -> Option<Vec<u8>> {
        write(self.empty_reply(code), PLAIN_UDP_BYTES)
    }

    /// The result of a message that came in reply to this question, which was asked under the number
    /// `id`; `None` if it is no reply to it (RFC 5452 section 9.1).
    pub fn result(&self, id: u16, reply: &[u8]) -> Option<ResponseCode> {
        let mut decoder = BinDecoder::new(reply);
        let Header { metadata, counts } = Header::read(&mut decoder).ok()?;
        let is_reply = metadata.message_type == MessageType::Response
            && metadata.op_code == OpCode::Query
            && metadata.id == id;
        let is_same = match counts.queries {
            // Some who refuse do not repeat the question.
            0 => metadata.response_code != ResponseCode::NoError,
            1 => Query::read(&mut decoder).ok()? == self.query,
            _ => false,
        };
        (is_reply && is_same).then_some(metadata.response_code)
    }

    fn client_max(&self) -> u16 {
        match self.transport {
            Transport::Udp => {
                self.edns.as_ref().map_or(PLAIN_UDP_BYTES, Edns::max_payload).max(PLAIN_UDP_BYTES)
            }
            Transport::Tcp => u16::MAX,
        }
    }

    fn empty_reply(&self, code: ResponseCode) -> Message {
        let mut message = header_of_reply(&self.metadata, code);
        message.add_query(self.query.clone());
        if let Some(asked) = &self.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_BYTES).set_dnssec_ok(asked.flags().dnssec_ok);
            message.set_edns(edns);
        }
        message
    }
}

/// Gives a message another number.
pub(crate) fn set_id(message: &mut [u8], id: u16) {
    if let Some(place) = message.get_mut(..2) {
        place.copy_from_slice(&id.to_be_bytes());
    }
}

/// A number that nobody can guess.
pub(crate) fn random_id() -> u16 {
    Message::query().metadata.id
}

fn header_of_reply(query: &Metadata, code: ResponseCode) -> Message {
    let mut message = Message::response(query.id, query.op_code);
    message.metadata = Metadata::response_from_request(query);
    message.metadata.recursion_available = true;
    message.metadata.response_code = code;
    message
}

/// The reply to what cannot be read, or not be done: a header alone.
fn refusal(query: &Metadata, code: ResponseCode) -> Unreadable {
    told(write(header_of_reply(query, code), PLAIN_UDP_BYTES))
}

fn told(reply: Option<Vec<u8>>) -> Unreadable {
    reply.map_or(Unreadable::Silent, Unreadable::Told)
}

/// Writes a message of at most `limit` bytes, at least 512. If it has no room for all, what may be
/// left out is; then as many answers stay as there is room for, and the message says that it was
/// cut: there are clients that never ask again over TCP.
fn write(mut message: Message, limit: u16) -> Option<Vec<u8>> {
    let whole = emit(&message, limit)?;
    if !is_truncated(&whole) {
        return Some(whole);
    }
    message.additionals.clear();
    // The record of EDNS comes last, and must be there all the same.
    let edns = message.edns.take();
    let reserved = if edns.is_some() { OPT_BYTES } else { 0 };
    let cut = emit(&message, limit.saturating_sub(reserved))?;
    let counts = Header::read(&mut BinDecoder::new(&cut)).ok()?.counts;
    message.answers.truncate(usize::from(counts.answers));
    message.authorities.truncate(usize::from(counts.authorities));
    message.metadata.truncation = is_truncated(&cut);
    message.edns = edns;
    emit(&message, limit)
}

/// The message as far as there is room; it says if that was not enough.
fn emit(message: &Message, limit: u16) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::from(PLAIN_UDP_BYTES));
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(limit);
    message.emit(&mut encoder).ok()?;
    Some(bytes)
}

fn is_truncated(message: &[u8]) -> bool {
    message.get(FLAGS_AT).is_some_and(|flags| flags & TRUNCATED != 0)
}

/// Types that are about the transfer of whole zones, which is not for clients.
pub(crate) fn is_transfer(query_type: RecordType) -> bool {
    matches!(query_type, RecordType::AXFR | RecordType::IXFR)
}

#[cfg(test)]
mod tests;
