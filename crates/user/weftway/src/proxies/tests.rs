use weft_admin_api::proxies::RejectedView;

use super::*;

fn proxy(workload: &str, is_connected: bool) -> ProxyView {
    ProxyView {
        workload: workload.into(),
        is_connected,
        since_secs: 90,
        last_seen_secs: 1,
        peer: "process 7 of user 2102".into(),
        product_version: "0.1.0".into(),
        sent: 12,
        in_force: 12,
        services: 3,
        rejected: Vec::new(),
        trusts: Vec::new(),
        root: None,
    }
}

#[test]
fn each_proxy_is_a_line_and_what_it_rejects_is_told() {
    let mut behind = proxy("shop/cart", false);
    behind.in_force = 11;
    behind.rejected = vec![RejectedView {
        kind: "service".into(),
        name: "shop/db".into(),
        reason: "port 0".into(),
    }];
    let proxies = vec![behind, proxy("shop/web", true)];
    let view = ProxiesView { generation: 12, in_force: 1, connected: 1, proxies };
    let text = render(&view);
    let lines: Vec<Vec<&str>> =
        text.lines().map(|line| line.split("  ").filter(|it| !it.is_empty()).collect()).collect();
    let words = |line: usize| lines[line].iter().map(|word| word.trim()).collect::<Vec<_>>();
    let from = "process 7 of user 2102";
    assert_eq!(words(1), ["shop/cart", "gone", "1 min 30 s", "0.1.0", "12", "11", "3", from]);
    assert_eq!(words(2), ["shop/web", "connected", "1 min 30 s", "0.1.0", "12", "12", "3", from]);
    assert_eq!(words(3), ["shop/cart does not take the service shop/db: port 0"]);
    assert_eq!(words(5), ["generation 12 in force on 1 of 1 proxy"]);
}
