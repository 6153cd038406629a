//! What becomes of a query.

use std::net::IpAddr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, AAAA, PTR, SOA, SRV};
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};
use weft_model::id::ServiceName;

use crate::names::{Found, Names, Target, Zone};
use crate::question::{Question, Sections, Transport, Unreadable, is_transfer};

/// What becomes of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// This is the reply.
    Reply(Reply),
    /// An upstream resolver has to say.
    Forward(Question),
    /// The same query can be answered once the names know this headless service in full.
    Ask {
        /// The question.
        question: Question,
        /// The service.
        service: ServiceName,
        /// Whether nobody else can know the name. Otherwise an upstream resolver has to say if the
        /// names do not learn of the service in time.
        is_ours: bool,
    },
    /// It is no query, and gets no reply.
    Drop,
}

/// A reply, and what it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The message.
    pub bytes: Vec<u8>,
    /// What it says.
    pub outcome: Outcome,
}

/// What a reply says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Here is what was asked for.
    Found,
    /// The name exists, and has nothing of that kind.
    NoData,
    /// The name does not exist.
    NoName,
    /// The query cannot be read (FORMERR), or asks for what nobody here does (NOTIMP, BADVERS,
    /// REFUSED).
    Refused,
}

/// Addresses in one answer; more help nobody, and would not fit into a message.
const ADDRS_MAX: usize = 512;

/// Times in the zone's SOA record, which matter to those who copy zones, and nobody may.
const SOA_REFRESH_SECS: i32 = 7200;
const SOA_RETRY_SECS: i32 = 1800;
const SOA_EXPIRE_SECS: i32 = 86400;

/// What becomes of `query`, the bytes of a message without the length that TCP has before it.
///
/// Names of the mesh are answered by A, AAAA, SRV and PTR records, without aliases; a name that has
/// addresses of one kind only has no data of the other, so that nobody looks for them elsewhere.
/// Names in the mesh's domain that do not exist are denied, and all others forwarded.
pub fn answer(query: &[u8], transport: Transport, names: &Names) -> Answer {
    let question = match Question::read(query, transport) {
        Ok(question) => question,
        Err(Unreadable::Silent) => return Answer::Drop,
        Err(Unreadable::Told(bytes)) => {
            return Answer::Reply(Reply { bytes, outcome: Outcome::Refused });
        }
    };
    let query_type = question.query().query_type;
    if is_transfer(query_type) {
        let bytes = question.failure(ResponseCode::Refused);
        return reply(bytes, Outcome::Refused);
    }
    if !matches!(question.query().query_class, DNSClass::IN | DNSClass::ANY) {
        return Answer::Forward(question);
    }
    let writer = Writer { question: &question, zone: names.zone() };
    match names.find(question.name()) {
        Found::Host { addrs, is_ours } => match writer.addrs(&addrs) {
            records if !records.is_empty() => writer.found(records, Vec::new()),
            // Mail servers and the like of hosts elsewhere are known elsewhere; their addresses,
            // also those in hints, would lead past the mesh.
            _ if !is_ours && !leads_to_addresses(query_type) => Answer::Forward(question),
            _ => writer.denied(Outcome::NoData),
        },
        Found::Port(targets) if asks_for(query_type, RecordType::SRV) => writer.targets(&targets),
        Found::Addr(name) if asks_for(query_type, RecordType::PTR) => {
            writer.found(vec![writer.record(RData::PTR(PTR(name)))], Vec::new())
        }
        Found::Parent if writer.is_origin() && asks_for(query_type, RecordType::SOA) => {
            writer.found(vec![writer.authority()], Vec::new())
        }
        Found::Port(_) | Found::Addr(_) | Found::Parent => writer.denied(Outcome::NoData),
        Found::Missing => writer.denied(Outcome::NoName),
        Found::Ask(service) => {
            let is_ours = names.zone().origin().zone_of(question.name());
            Answer::Ask { question, service, is_ours }
        }
        Found::Foreign => Answer::Forward(question),
    }
}

/// Writes replies to one question.
struct Writer<'a> {
    question: &'a Question,
    zone: &'a Zone,
}

// === impl Writer ===

impl Writer<'_> {
    /// The addresses of the kind that is asked for. Their order changes from one query to the next,
    /// so that those who take the first one spread.
    fn addrs(&self, addrs: &[IpAddr]) -> Vec<Record> {
        let query_type = self.question.query().query_type;
        let mut records: Vec<Record> = addrs
            .iter()
            .map(|addr| self.record(rdata(*addr)))
            .filter(|record| asks_for(query_type, record.record_type()))
            .collect();
        self.turn(&mut records);
        records
    }

    fn targets(&self, targets: &[Target]) -> Answer {
        let mut records = Vec::with_capacity(targets.len());
        let mut hints = Vec::new();
        for Target { name, port, addrs } in targets {
            records.push(self.record(RData::SRV(SRV::new(0, 100, *port, name.clone()))));
            let ttl = self.zone.ttl_secs();
            let addrs = addrs.iter();
            hints.extend(addrs.map(|addr| Record::from_rdata(name.clone(), ttl, rdata(*addr))));
        }
        if records.is_empty() {
            return self.denied(Outcome::NoData);
        }
        self.turn(&mut records);
        self.found(records, hints)
    }

    /// Begins a list at a place that the client has drawn: the number of its query.
    fn turn(&self, records: &mut Vec<Record>) {
        if !records.is_empty() {
            let first = usize::from(self.question.id()) % records.len();
            records.rotate_left(first);
            records.truncate(ADDRS_MAX);
        }
    }

    fn found(&self, answers: Vec<Record>, additionals: Vec<Record>) -> Answer {
        let sections = Sections { answers, additionals, ..Sections::default() };
        reply(self.question.reply(ResponseCode::NoError, sections), Outcome::Found)
    }

    /// Says that there is nothing, and for how long that holds (RFC 2308 section 3).
    fn denied(&self, outcome: Outcome) -> Answer {
        let code = match outcome {
            Outcome::NoName => ResponseCode::NXDomain,
            Outcome::Found | Outcome::NoData | Outcome::Refused => ResponseCode::NoError,
        };
        let sections = Sections { authorities: vec![self.authority()], ..Sections::default() };
        reply(self.question.reply(code, sections), outcome)
    }

    /// The start of the zone, or of one that has the name alone.
    fn authority(&self) -> Record {
        let ttl = self.zone.ttl_secs();
        let origin = self.zone.origin();
        let name = self.question.name();
        let owner = if origin.zone_of(name) { origin } else { name };
        // Nobody copies the zone, so its version never changes. Owners that are too long to have a
        // name in front of them stand for themselves.
        let below = |label: &str| owner.prepend_label(label).unwrap_or_else(|_| owner.clone());
        let soa = SOA::new(
            below("ns"),
            below("hostmaster"),
            1,
            SOA_REFRESH_SECS,
            SOA_RETRY_SECS,
            SOA_EXPIRE_SECS,
            ttl,
        );
        Record::from_rdata(owner.clone(), ttl, RData::SOA(soa))
    }

    fn is_origin(&self) -> bool {
        self.question.name() == self.zone.origin()
    }

    /// A record of the name that is asked for, in the case in which it was written: clients that
    /// mix it do so to know their replies.
    fn record(&self, data: RData) -> Record {
        Record::from_rdata(self.question.name().clone(), self.zone.ttl_secs(), data)
    }
}

fn rdata(addr: IpAddr) -> RData {
    match addr {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    }
}

fn asks_for(query_type: RecordType, record_type: RecordType) -> bool {
    query_type == record_type || query_type == RecordType::ANY
}

/// Types of which the answer may hold addresses of the name itself.
fn leads_to_addresses(query_type: RecordType) -> bool {
    use RecordType::{A, AAAA, ANY, CNAME, HTTPS, SVCB};
    matches!(query_type, A | AAAA | ANY | CNAME | HTTPS | SVCB)
}

fn reply(bytes: Option<Vec<u8>>, outcome: Outcome) -> Answer {
    bytes.map_or(Answer::Drop, |bytes| Answer::Reply(Reply { bytes, outcome }))
}

#[cfg(test)]
mod tests;
