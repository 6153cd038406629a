use crate::kind::Kind;
use crate::kubernetes::service::PortRef;
use crate::set::load;

use super::{Access, ProxyProtocol};

fn read(kind: &str, spec: &str) -> (Option<Kind>, Vec<String>) {
    let text = format!(
        "apiVersion: policy.linkerd.io/v1beta1\nkind: {kind}\nmetadata: {{name: a}}\nspec: {spec}\n"
    );
    let set = load(&[("a.yaml", text)]);
    let kind = set.resources().next().map(|resource| resource.body.clone());
    (kind, set.problems().iter().map(ToString::to_string).collect())
}

#[test]
fn servers_name_a_port() {
    let spec = "{podSelector: {matchLabels: {app: a}}, port: http, proxyProtocol: HTTP/2, accessPolicy: audit}";
    let (kind, problems) = read("Server", spec);
    assert_eq!(problems, Vec::<String>::new());
    let Some(Kind::Server(server)) = kind else { panic!("not a Server") };
    assert_eq!(server.port, Some(PortRef::Name("http".into())));
    assert_eq!((server.protocol, server.access), (ProxyProtocol::Http2, Access::Audit));
    assert_eq!(server.selector.map(|selector| selector.requirements.len()), Some(1));
    assert!(!server.is_broken);
}

#[test]
fn what_is_left_of_a_broken_server_is_kept() {
    for spec in
        ["5", "{}", "{podSelector: {}, port: 80, accessPolicy: all}", "{podSelector: 5, port: 80}"]
    {
        let (kind, problems) = read("Server", spec);
        let Some(Kind::Server(server)) = kind else { panic!("{spec}: not a Server") };
        assert!(server.is_broken && !problems.is_empty(), "{spec}");
        assert_eq!(server.access, Access::Deny, "{spec}");
    }
}

#[test]
fn guards_name_servers() {
    let check = |spec: &str, servers: &[&str], is_broken: bool| {
        let (kind, _) = read("HTTPRoute", spec);
        let Some(Kind::ServerGuard(guard)) = kind else { panic!("{spec}: not a guard") };
        let names: Vec<&str> = guard.servers.iter().map(|name| &**name).collect();
        assert_eq!((names.as_slice(), guard.is_broken), (servers, is_broken), "{spec}");
    };
    check(
        "{parentRefs: [{kind: Server, name: s}, {kind: Service, group: core, name: t}]}",
        &["s"],
        false,
    );
    check("{rules: []}", &[], false);
    check("{parentRefs: [{kind: Server}]}", &[], true);
    check("5", &[], true);
}

#[test]
fn access_has_words() {
    for (word, access) in Access::CHOICES {
        assert_eq!((Access::parse(word), access.as_str()), (Some(access), word));
    }
    assert_eq!(Access::parse("all"), None);
}
