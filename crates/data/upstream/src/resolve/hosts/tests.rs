use std::cell::Cell;
use std::time::Duration;

use super::*;
use crate::testing::local;

/// Tells one address, as often as it is asked, or nothing.
#[derive(Default)]
struct Told {
    addr: Cell<Option<IpAddr>>,
    ttl: Cell<Duration>,
    asked: Cell<usize>,
}

impl Lookup for Told {
    async fn lookup(&self, _: &str) -> Result<Answer, LookupError> {
        self.asked.set(self.asked.get() + 1);
        let addr = self.addr.get().ok_or_else(|| LookupError::Failed("nobody knows".into()))?;
        Ok(Answer { addrs: vec![addr], ttl: self.ttl.get() })
    }
}

fn told(addr: IpAddr, ttl: Duration) -> Hosts<Told> {
    let lookup = Told { addr: Cell::new(Some(addr)), ttl: Cell::new(ttl), ..Told::default() };
    Hosts { lookup, known: RefCell::default() }
}

/// Lets the answer for `host` end, that long ago.
fn end(hosts: &Hosts<Told>, host: &str, ago: Duration) {
    let mut known = hosts.known.borrow_mut();
    known.get_mut(host).expect("it is known").ends = time::now() - ago;
}

const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const TWO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

#[test]
fn an_answer_holds_for_its_ttl() {
    local(async {
        let hosts = told(ONE, Duration::from_secs(60));
        for _ in 0..3 {
            assert_eq!(hosts.addr("db.test").await, Ok(ONE));
        }
        assert_eq!(hosts.lookup.asked.get(), 1);
        let holds = hosts.known.borrow()["db.test"].ends - time::now();
        assert!(holds > Duration::from_secs(50) && holds <= Duration::from_secs(60));
        hosts.lookup.addr.set(Some(TWO));
        end(&hosts, "db.test", Duration::ZERO);
        assert_eq!(hosts.addr("db.test").await, Ok(TWO));
        assert_eq!(hosts.lookup.asked.get(), 2);
    });
}

#[test]
fn the_last_answer_holds_for_an_hour_where_there_is_no_other() {
    local(async {
        let hosts = told(ONE, Duration::ZERO);
        assert_eq!(hosts.addr("db.test").await, Ok(ONE));
        hosts.lookup.addr.set(None);
        end(&hosts, "db.test", Duration::from_secs(3_000));
        assert_eq!(hosts.addr("db.test").await, Ok(ONE));
        // It is not asked for with every request meanwhile.
        assert_eq!(hosts.addr("db.test").await, Ok(ONE));
        assert_eq!(hosts.lookup.asked.get(), 2);
        end(&hosts, "db.test", Duration::from_secs(3_601));
        assert!(hosts.addr("db.test").await.is_err());
    });
}

#[test]
fn what_is_an_address_is_asked_of_nobody() {
    local(async {
        let hosts = told(ONE, Duration::ZERO);
        assert_eq!(hosts.addr("10.0.0.9").await, Ok([10, 0, 0, 9].into()));
        assert_eq!(hosts.addr("localhost").await, Ok([127, 0, 0, 1].into()));
        assert_eq!(hosts.lookup.asked.get(), 0);
    });
}

#[test]
fn so_many_are_remembered() {
    local(async {
        let hosts = told(ONE, Duration::from_secs(60));
        for number in 0..REMEMBERED_MAX + 10 {
            hosts.addr(&format!("h{number}.test")).await.expect("it is told");
        }
        assert_eq!(hosts.known.borrow().len(), REMEMBERED_MAX);
        assert!(hosts.known.borrow().contains_key(&*format!("h{}.test", REMEMBERED_MAX + 9)));
    });
}
