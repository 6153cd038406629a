use super::*;

#[test]
fn applications_are_told_of_their_proxy() {
    let addrs = range().at(7).expect("inside of the range");
    let environment = environment(addrs, "cluster.local");
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"] {
        let value = environment.iter().find(|(found, _)| found == name).map(|(_, value)| &**value);
        assert_eq!(value, Some("http://127.77.0.7:15001"), "{name}");
    }
}
