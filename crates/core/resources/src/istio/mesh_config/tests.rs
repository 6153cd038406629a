use super::*;
use crate::istio::virtual_service::RetryCondition;

fn read(text: &str) -> (MeshConfig, Vec<String>) {
    let (config, problems) = MeshConfig::read(&"f".into(), text);
    (config, problems.iter().map(ToString::to_string).collect())
}

#[test]
fn what_holds_where_documents_do_not_say() {
    let (config, problems) = read(
        "
defaultHttpRetryPolicy: {attempts: 4, retryOn: reset}
localityLbSetting: {failover: [{from: eu, to: us}]}
defaultServiceExportTo: ['.']
defaultVirtualServiceExportTo: [a]
defaultDestinationRuleExportTo: ['*']
outboundTrafficPolicy: {mode: REGISTRY_ONLY}
",
    );
    let retries = config.default_http_retries.unwrap();
    assert_eq!((retries.attempts, retries.conditions()), (4, &[RetryCondition::Reset][..]));
    assert_eq!(&*config.locality.unwrap().failover[0].to, "us");
    let reaches = |export: &Option<ExportTo>| {
        ["a", "own"].map(|one| export.as_ref().is_some_and(|export| export.reaches("own", one)))
    };
    let export = &config.default_export_to;
    assert_eq!(reaches(&export.services), [false, true]);
    assert_eq!(reaches(&export.virtual_services), [true, false]);
    assert_eq!(reaches(&export.destination_rules), [true, true]);
    assert_eq!(config.outbound, Some(OutboundMode::RegistryOnly));
    assert_eq!(problems, [""; 0], "all of it acts");
}

#[test]
fn names_that_callers_resolve_themselves() {
    let (config, problems) = read("outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}");
    assert_eq!(config.outbound, Some(OutboundMode::AllowAny));
    assert!(problems[0].contains("calls go to the address that was dialled"), "{problems:?}");
}
