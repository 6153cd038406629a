use hickory_proto::rr::RData;
use hickory_proto::rr::rdata::A;

use super::*;
use crate::testing::{message, name, query, read, with_edns};

fn question(bytes: &[u8], transport: Transport) -> Question {
    Question::read(bytes, transport).unwrap()
}

fn told(bytes: &[u8]) -> ResponseCode {
    match Question::read(bytes, Transport::Udp).unwrap_err() {
        Unreadable::Told(reply) => {
            assert_eq!(reply[..2], bytes[..2], "the number is that of the query");
            read(&reply).metadata.response_code
        }
        Unreadable::Silent => panic!("there is a reply"),
    }
}

/// A record of `payments` for each of so many addresses.
fn records(count: u16) -> Sections {
    let record = |n: u16| {
        let [high, low] = n.to_be_bytes();
        Record::from_rdata(name("payments"), 5, RData::A(A::new(10, 77, high, low)))
    };
    Sections { answers: (0..count).map(record).collect(), ..Sections::default() }
}

#[test]
fn what_is_no_query_gets_no_reply() {
    let mut reply = query("payments", RecordType::A);
    reply[2] |= 0x80;
    for silent in [&b""[..], &[0; 11], &reply] {
        let read = Question::read(silent, Transport::Udp);
        assert_eq!(read, Err(Unreadable::Silent), "{silent:?}");
    }
}

#[test]
fn what_is_malformed_is_told() {
    let good = query("payments", RecordType::A);
    assert_eq!(told(&good[..good.len() - 1]), ResponseCode::FormErr, "cut");
    for (count_at, what) in [(5, "two questions"), (7, "an answer"), (11, "a missing record")] {
        let mut bad = good.clone();
        bad[count_at] += 1;
        assert_eq!(told(&bad), ResponseCode::FormErr, "{what}");
    }
    let mut bad = good.clone();
    bad[5] = 0;
    assert_eq!(told(&bad), ResponseCode::FormErr, "no question");
    let mut bad = good.clone();
    bad[12] = 0xC0;
    assert_eq!(told(&bad), ResponseCode::FormErr, "a name that points at itself");
}

#[test]
fn other_operations_are_not_done() {
    let mut update = query("payments", RecordType::A);
    update[2] |= 5 << 3;
    assert_eq!(told(&update), ResponseCode::NotImp);
}

#[test]
fn later_versions_of_edns_are_refused_with_ours() {
    let mut later = with_edns(message(7, "payments", RecordType::A), 1232);
    later.edns.as_mut().unwrap().set_version(1);
    let bytes = later.to_vec().unwrap();
    let Err(Unreadable::Told(reply)) = Question::read(&bytes, Transport::Udp) else {
        panic!("it is refused");
    };
    let reply = read(&reply);
    assert_eq!(u16::from(reply.metadata.response_code), 16, "BADVERS");
    assert_eq!(reply.edns.unwrap().version(), 0);
}

#[test]
fn options_of_edns_are_passed_over() {
    let mut bytes = with_edns(message(7, "payments", RecordType::A), 1232).to_vec().unwrap();
    // A cookie (RFC 7873) in place of no options.
    bytes.truncate(bytes.len() - 2);
    bytes.extend_from_slice(b"\x00\x0c\x00\x0a\x00\x08abcdefgh");
    assert_eq!(question(&bytes, Transport::Udp).reply_bytes_max(), 1232);
}

#[test]
fn a_reply_has_the_clients_flags_and_edns() {
    let plain = question(&query("Payments", RecordType::A), Transport::Udp);
    let reply = read(&plain.reply(ResponseCode::NoError, records(1)).unwrap());
    assert_eq!(reply.edns, None);
    assert!(reply.metadata.recursion_desired && reply.metadata.recursion_available);
    assert!(reply.metadata.authoritative && !reply.metadata.truncation);

    let mut asked = with_edns(message(7, "payments", RecordType::A), 1232);
    asked.edns.as_mut().unwrap().set_dnssec_ok(true);
    let extended = question(&asked.to_vec().unwrap(), Transport::Udp);
    let edns = read(&extended.reply(ResponseCode::NoError, records(1)).unwrap()).edns.unwrap();
    assert!(edns.flags().dnssec_ok);
    assert_eq!(edns.max_payload(), UDP_BYTES);
}

#[test]
fn a_reply_over_udp_is_cut_where_the_client_says() {
    let check = |offered: Option<u16>, answers: u16, expected: (usize, bool)| {
        let asked = message(7, "payments", RecordType::A);
        let asked = match offered {
            Some(bytes) => with_edns(asked, bytes),
            None => asked,
        };
        let question = question(&asked.to_vec().unwrap(), Transport::Udp);
        let bytes = question.reply(ResponseCode::NoError, records(answers)).unwrap();
        let limit = usize::from(offered.unwrap_or(512).clamp(512, UDP_BYTES));
        assert!(bytes.len() <= limit, "{} of {limit} bytes", bytes.len());
        let reply = read(&bytes);
        assert_eq!((reply.answers.len(), reply.metadata.truncation), expected, "{offered:?}");
        assert_eq!(reply.edns.is_some(), offered.is_some());
    };
    // Header and question have 26 bytes, each answer 16, EDNS 11.
    check(None, 30, (30, false));
    check(None, 31, (30, true));
    check(Some(100), 30, (29, true));
    check(Some(512), 29, (29, false));
    check(Some(1232), 74, (74, false));
    check(Some(1232), 100, (74, true));
    check(Some(u16::MAX), 110, (110, false));
    // Later records have their names in full.
    check(Some(u16::MAX), 400, (208, true));
}

#[test]
fn a_reply_over_tcp_is_whole() {
    let question = question(&query("payments", RecordType::A), Transport::Tcp);
    let reply = read(&question.reply(ResponseCode::NoError, records(512)).unwrap());
    assert_eq!((reply.answers.len(), reply.metadata.truncation), (512, false));
}

#[test]
fn hints_are_left_out_before_answers() {
    let question = question(&query("payments", RecordType::A), Transport::Udp);
    let mut sections = records(20);
    sections.additionals = records(20).answers;
    let reply = read(&question.reply(ResponseCode::NoError, sections).unwrap());
    assert_eq!((reply.answers.len(), reply.additionals.len()), (20, 0));
    assert!(!reply.metadata.truncation);
}

#[test]
fn only_a_reply_to_the_question_counts() {
    let asked = question(&query("Payments", RecordType::A), Transport::Udp);
    let reply = |host, query_type| {
        let mut reply = message(7, host, query_type).into_response();
        reply.metadata.response_code = ResponseCode::NXDomain;
        reply
    };
    let result = |reply: &Message| asked.result(7, &reply.to_vec().unwrap());
    let good = reply("payments", RecordType::A);
    assert_eq!(result(&good), Some(ResponseCode::NXDomain), "in whichever case");
    assert_eq!(asked.result(8, &good.to_vec().unwrap()), None, "of another number");
    assert_eq!(result(&reply("payment", RecordType::A)), None, "of another name");
    assert_eq!(result(&reply("payments", RecordType::AAAA)), None, "of another type");
    assert_eq!(result(&message(7, "payments", RecordType::A)), None, "a query");
    assert_eq!(asked.result(7, b"short"), None);
    let mut short = good.clone();
    short.queries.clear();
    assert_eq!(result(&short), Some(ResponseCode::NXDomain), "a refusal may be short");
    short.metadata.response_code = ResponseCode::NoError;
    assert_eq!(result(&short), None);
}
