//! A proxy beside a workload, as a process of its own.

use std::io::ErrorKind;
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use weft_testkit::wait;

use crate::common::own_address;
use crate::running::Running;

/// Who knows no names would say of each that it does not exist, and clients remember that; one that
/// is not answered asks again, and is answered by the older proxy while there is one.
#[test]
fn names_are_not_denied_before_any_is_known() {
    let ip = own_address();
    let folder = tempfile::tempdir().unwrap();
    let nobody = folder.path().join("control.sock");
    let usual = ["proxy", "--workload", "shop/cart", "--control", nobody.to_str().unwrap()];
    let (admin, dns) = (format!("{ip}:15000"), format!("{ip}:15053"));
    let here = ["--admin", &admin, "--dns", &dns, "--ready", "off", "--metrics", "off"];
    let log = folder.path().join("proxy.log");
    let _proxy = Running::start(&[&usual[..], &here, &["--workers", "1"]].concat(), log);
    wait::until_true("the proxy", || TcpStream::connect((ip, 15000)).is_ok());
    let client = UdpSocket::bind((ip, 0)).unwrap();
    client.connect((ip, 15053)).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let head = [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let name = b"\x08payments\x04shop\x03svc\x07cluster\x05local\0";
    client.send(&[&head[..], name, &[0, 1, 0, 1]].concat()).unwrap();
    let answer = client.recv(&mut [0; 512]).expect_err("it does not know");
    assert_eq!(answer.kind(), ErrorKind::WouldBlock, "somebody listens: {answer}");
}
