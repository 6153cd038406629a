//! What rules are called where they are shown.

use super::*;

/// The ids and the words of all rules of `a`, those for requests first.
fn called(world: &MeshWorld) -> Vec<(String, String)> {
    let sets = &traffic(world, "a").routing;
    let http = sets.iter().flat_map(|set| set.http.iter().flatten());
    let tcp = sets.iter().flat_map(|set| set.tcp.iter().flatten());
    let http = http.map(|routed| (&routed.route.id, &routed.route.origin));
    let tcp = tcp.map(|routed| (&routed.route.id, &routed.route.origin));
    http.chain(tcp).map(|(id, origin)| (id.to_string(), origin.rule.to_string())).collect()
}

#[test]
fn rules_of_a_virtual_service_and_their_matches_have_their_names() {
    let to = "route: [{destination: {host: v1, port: {number: 80}}}]";
    let rules = format!(
        "{{name: pay, match: [{{name: old, uri: {{prefix: /old}}}}, {{uri: {{prefix: /new}}}}], \
           {to}}}, {{name: rest, {to}}}, {{name: rest, {to}}}, {{{to}}}"
    );
    let world = clean_routing(&[&virtual_service("r", &format!("http: [{rules}]"))]);
    let found = called(&world);
    let is = |id: &str, words: &str| (format!("virtualservice/default/r/{id}"), words.to_owned());
    let expected = [
        is("pay/0", "old: uri prefix /old"),
        is("pay/1", "uri prefix /new"),
        is("1", "every request"),
        is("2", "every request"),
        is("3", "every request"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn rules_that_are_delegated_to_have_their_names() {
    let root = virtual_service(
        "root",
        "http: [{name: outer, match: [{uri: {prefix: /t}}], delegate: {name: team, namespace: other}}]",
    );
    let team = istio(
        "VirtualService",
        "name: team, namespace: other",
        "http: [{name: inner, route: [{destination: {host: far}}]}]",
    );
    let found = called(&clean_routing(&[&root, &team]));
    assert_eq!(found[0].0, "virtualservice/other/team/inner@default/root:80");
}

#[test]
fn rules_for_connections_have_their_names() {
    for kind in ["TCPRoute", "TLSRoute"] {
        let spec = |name: &str| {
            format!(
                "parentRefs: [{{group: '', kind: Service, name: a, port: 9000}}], \
                 rules: [{{{name} backendRefs: [{{name: v1, port: 9000}}]}}]"
            )
        };
        for (name, expected) in [("name: data,", "data"), ("", "0")] {
            let metadata = "name: bytes";
            let api = "gateway.networking.k8s.io/v1";
            let world = clean_routing(&[&document(api, kind, metadata, &spec(name))]);
            let kind = kind.to_ascii_lowercase();
            assert_eq!(called(&world)[0].0, format!("{kind}/default/bytes/{expected}"));
        }
    }
}
