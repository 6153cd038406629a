use super::*;
use crate::istio::tests::{clean, says};
use crate::kind::Kind;

fn group(spec: &str) -> WorkloadGroup {
    match clean("WorkloadGroup", spec) {
        Kind::WorkloadGroup(group) => *group,
        other => panic!("not a WorkloadGroup: {other:?}"),
    }
}

fn probe(fields: &str) -> Probe {
    group(&format!("{{template: {{}}, probe: {{{fields}}}}}")).probe.unwrap().value
}

#[test]
fn what_workloads_have_in_common() {
    let found = group(
        "{metadata: {labels: {app: web}, annotations: {a: b}}, \
         template: {ports: {http: 8080}, serviceAccount: web, labels: {version: v1}}}",
    );
    assert_eq!(*found.labels, [("app".into(), "web".into())]);
    assert_eq!(*found.annotations, [("a".into(), "b".into())]);
    let template = &found.template;
    assert_eq!((&*template.address, template.named_port("http"), template.weight), {
        ("", Some(8080), 1)
    });
    assert_eq!(template.service_account.as_deref(), Some("web"));
    assert_eq!(found.probe, None);
}

#[test]
fn probes() {
    let default = probe("tcpSocket: {port: 80}");
    let secs = |one: &Probe| [one.initial_delay, one.timeout, one.period].map(|t| t.as_secs());
    assert_eq!(secs(&default), [0, 1, 10]);
    assert_eq!((default.success_threshold, default.failure_threshold), (1, 3));
    assert_eq!(default.check, HealthCheck::Tcp { host: None, port: 80 });
    let full = probe(
        "initialDelaySeconds: 2, timeoutSeconds: 3, periodSeconds: 4, successThreshold: 5, \
         failureThreshold: 6, httpGet: {port: 80, scheme: HTTPS, host: a, path: /b, \
         httpHeaders: [{name: x-a, value: c}]}",
    );
    assert_eq!(secs(&full), [2, 3, 4]);
    assert_eq!((full.success_threshold, full.failure_threshold), (5, 6));
    let expected = HealthCheck::Http {
        path: "/b".into(),
        port: 80,
        host: Some("a".into()),
        is_https: true,
        headers: vec![("x-a".into(), "c".into())],
    };
    assert_eq!(full.check, expected);
    let command = vec!["a".into(), "b".into()];
    assert_eq!(probe("exec: {command: [a, b]}").check, HealthCheck::Exec { command });
    let grpc = HealthCheck::Grpc { port: None, service: "".into() };
    assert_eq!(probe("grpc: {}").check, grpc);
    assert_eq!(probe("grpc: {}, failureThreshold: 0").failure_threshold, 3);
}

#[test]
fn impossible_groups() {
    says("WorkloadGroup", "{}", "the field `template` is required");
    let check = |fields: &str, expected: &str| {
        says("WorkloadGroup", &format!("{{template: {{}}, probe: {{{fields}}}}}"), expected);
    };
    check("", "one of `httpGet`, `tcpSocket`, `exec` and `grpc` is required");
    check("exec: {command: [a]}, grpc: {}", "and only one");
    check("exec: {command: []}", "a program is required");
    check("httpGet: {port: 80, scheme: http}", "did you mean `HTTP`?");
    check("httpGet: {port: 80, httpHeaders: [{name: a b}]}", "is not the name of a header");
    check("periodSeconds: -1, grpc: {}", "-1 is out of range");
}
