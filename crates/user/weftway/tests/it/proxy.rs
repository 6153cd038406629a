//! A proxy beside a workload, as a process of its own.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use weft_testkit::wait;

use crate::common::{BINARY, own_address};

/// A process that ends with this value.
struct Running(Child);

impl Running {
    /// A proxy on this address, whose control plane is not there.
    fn start(ip: Ipv4Addr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let control = folder.path().join("control.sock");
        let mut command = Command::new(BINARY);
        command.args(["proxy", "--workload", "shop/cart", "--workers", "1", "--control"]);
        command.arg(control).args(["--ready", "off", "--metrics", "off"]);
        command.args(["--admin", &format!("{ip}:15000"), "--dns", &format!("{ip}:15053")]);
        Self(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Who knows no names would say of each that it does not exist, and clients remember that; one that
/// is not answered asks again, and is answered by the older proxy while there is one.
#[test]
fn names_are_not_denied_before_any_is_known() {
    let ip = own_address();
    let _proxy = Running::start(ip);
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
