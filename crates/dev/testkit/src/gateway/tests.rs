use super::metrics::sum;
use super::*;

#[test]
fn sums_the_series_that_fit() {
    let text = "# HELP a_total x\na_total{r=\"x\",s=\"1\"} 2\na_total{r=\"y\",s=\"1\"} 3\n\
                a_total_more 9\nb 1.5\n";
    assert_eq!(sum(text, "a_total", &[]), 5.0);
    assert_eq!(sum(text, "a_total", &[("r", "x")]), 2.0);
    assert_eq!(sum(text, "a_total", &[("r", "x"), ("s", "2")]), 0.0);
    assert_eq!(sum(text, "b", &[]), 1.5);
}

#[test]
fn a_reserved_port_can_be_listened_on_by_who_shares_it() {
    use socket2::{Domain, Socket, Type};
    let reserved = Reserved::any();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&reserved.addr().into()).unwrap();
    socket.listen(8).unwrap();
    for _ in 0..4 {
        std::net::TcpStream::connect(reserved.addr()).unwrap();
        socket.accept().unwrap();
    }
}
