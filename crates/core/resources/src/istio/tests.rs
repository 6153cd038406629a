use super::Resolution;
use crate::kind::Kind;
use crate::set::load;

fn entry(spec: &str) -> (Option<Kind>, Vec<String>) {
    let text = format!(
        "apiVersion: networking.istio.io/v1beta1\nkind: ServiceEntry\nmetadata: {{name: a}}\n\
         spec:\n{spec}"
    );
    let set = load(&[("a.yaml", text)]);
    let kind = set.resources().next().map(|resource| resource.body.clone());
    (kind, set.problems().iter().map(ToString::to_string).collect())
}

#[test]
fn static_endpoints_with_their_own_ports() {
    let (kind, problems) = entry(
        "  hosts: [Legacy.Example.]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: http, targetPort: 8080}]
  endpoints:
  - {address: 10.0.0.1}
  - {address: 10.0.0.2, ports: {http: 9090}, weight: 3, locality: eu/west}
",
    );
    assert_eq!(problems, Vec::<String>::new());
    let Some(Kind::ServiceEntry(entry)) = kind else { panic!("not a ServiceEntry") };
    assert_eq!(entry.hosts, ["legacy.example".into()]);
    assert_eq!(entry.resolution, Resolution::Static);
    let port = entry.port(80).unwrap();
    assert_eq!(&*port.protocol, "HTTP");
    let ports: Vec<_> = entry.endpoints.iter().map(|e| (e.port(port), e.weight)).collect();
    assert_eq!(ports, [(8080, 1), (9090, 3)]);
    assert_eq!(entry.endpoints[1].zone.as_deref(), Some("west"));
}

#[test]
fn a_name_is_no_static_address() {
    let (kind, problems) = entry(
        "  hosts: [a.example]
  resolution: STATIC
  ports: [{number: 80, name: http}]
  endpoints: [{address: b.example}]
",
    );
    assert!(kind.is_none());
    assert!(problems[0].contains("is a name, but the resolution is STATIC"), "{problems:?}");
}

#[test]
fn fields_without_effect_are_reported() {
    let (kind, problems) = entry(
        "  hosts: [a.example]
  resolution: DNS
  exportTo: ['.']
  ports: [{number: 80, name: http}]
",
    );
    assert!(kind.is_some());
    assert!(problems[0].contains("`exportTo` has no effect"), "{problems:?}");
}
