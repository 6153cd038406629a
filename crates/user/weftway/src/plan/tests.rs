use super::*;

const SERVICES: &str = "\
apiVersion: v1
kind: Service
metadata: {name: pay, namespace: shop}
spec: {selector: {app: pay}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: pay-v2, namespace: shop}
spec: {selector: {app: pay-v2}, ports: [{port: 80, targetPort: 8080}]}
";

fn route(backend: &str, rest: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
         metadata: {{name: pay, namespace: shop}}\n\
         spec:\n  parentRefs: [{{group: '', kind: Service, name: pay}}]\n  \
         rules: [{{matches: [{{path: {{value: /v2}}}}], {rest}backendRefs: [{{name: {backend}, port: 80}}]}}]\n"
    )
}

fn set(texts: &[&str]) -> ResourceSet {
    let named = texts.iter().enumerate().map(|(index, text)| (format!("{index}.yaml"), *text));
    weft_resources::load(&named.collect::<Vec<_>>())
}

fn told(before: &[&str], change: &str) -> Vec<String> {
    let base = Base { set: set(before), ..Base::default() };
    let change = weft_resources::load(&[("change.yaml", change)]);
    let after = base.set.overlaid(&change, |_| false);
    let lines = compare(&base, &after);
    lines.iter().map(|line| format!("{}: {} {}", line.weight, line.subject, line.what)).collect()
}

#[test]
fn a_change_that_changes_nothing_is_said_to_be_none() {
    let route = route("pay", "");
    assert_eq!(told(&[SERVICES, &route], &route), [""; 0]);
    assert_eq!(render(&[]), "nothing would be different");
}

#[test]
fn a_target_that_changes_is_told_with_the_calls_that_go_there() {
    let lines = told(&[SERVICES, &route("pay", "")], &route("pay-v2", ""));
    assert!(
        lines.iter().any(|line| line.contains("HTTPRoute shop/pay")
            && line.contains("leads to pay-v2.shop.svc.cluster.local:80 instead of pay.shop")),
        "{lines:#?}"
    );
    assert!(
        lines.iter().any(|line| {
            line.contains("/v2") && line.contains("pay-v2.shop.svc.cluster.local:80, until now")
        }),
        "{lines:#?}"
    );
}

#[test]
fn a_rule_that_takes_all_calls_away_is_a_loss() {
    let lines = told(&[SERVICES], &route("pay", ""));
    // Until now every path led to the service; now `/v2` alone does.
    let lost: Vec<_> = lines.iter().filter(|line| line.starts_with("LOST")).collect();
    assert!(lost.iter().any(|line| line.contains("no rule takes it")), "{lines:#?}");
}

#[test]
fn documents_that_go_are_found_by_name() {
    let set = set(&[SERVICES]);
    let key = gone(&["Service/shop/pay".into()], &set).unwrap();
    assert_eq!(&*key[0].name, "pay");
    assert!(gone(&["Service/shop/none".into()], &set).is_err());
}
