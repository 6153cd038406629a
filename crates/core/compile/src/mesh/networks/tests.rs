use super::*;

fn covered(addrs: impl IntoIterator<Item = IpAddr>) -> Vec<String> {
    cover(addrs).iter().map(ToString::to_string).collect()
}

#[test]
fn neighbours_share_a_network() {
    let addrs = ["10.77.0.2", "10.77.0.3", "10.77.1.2", "fd77::2", "fd77::ffff:3"];
    let addrs = addrs.map(|text| text.parse().unwrap());
    assert_eq!(covered(addrs), ["10.77.0.0/24", "10.77.1.0/24", "fd77::/64"]);
    assert_eq!(covered([]), [""; 0]);
}

#[test]
fn many_networks_become_fewer_and_wider_ones() {
    let addrs = |count: u16| (0..count).map(at);
    assert_eq!(covered(addrs(64)).len(), 64);
    assert_eq!(
        covered(addrs(65)),
        ["10.0.0.0/20", "10.0.16.0/20", "10.0.32.0/20", "10.0.48.0/20", "10.0.64.0/20"]
    );
    assert_eq!(covered(addrs(1025)).len(), 5, "networks of 16 bits: 10.0 to 10.4");
}

/// An address of a network of its own.
fn at(index: u16) -> IpAddr {
    let [high, low] = index.to_be_bytes();
    IpAddr::from([10, high, low, 1])
}
