use weft_model::backend::{Endpoint, HostHeader};
use weft_model::calling::Calling;
use weft_model::id::BackendId;
use weft_resilience::settings::MaglevSettings;

use super::*;

#[test]
fn a_backend_shows_how_it_is_called_and_who_says_so() {
    let limits = LimitSettings { requests: Some(9), ..LimitSettings::default() };
    let endpoint = Endpoint {
        locality: Some("west/1".into()),
        tier: 2,
        ..Endpoint::new("10.0.0.1:80".parse().unwrap())
    };
    let backend = Backend {
        id: BackendId::new("payments:80/v2"),
        endpoints: Endpoints::Static([endpoint].into()),
        protocol: UpstreamProtocol::AsClient,
        health_check: None,
        host: HostHeader::Pass,
        termination_delay: None,
        calling: Arc::new(Calling {
            picker: PickerKind::Maglev(MaglevSettings::DEFAULT),
            limits,
            ..Calling::default()
        }),
    };
    let source = Source {
        setting: "trafficPolicy.connectionPool".into(),
        document: "DestinationRule shop/payments".into(),
        file: "rules.yaml".into(),
        line: 12,
    };
    let snapshot = Snapshot {
        backends: [(backend.id.clone(), Arc::new(backend.clone()))].into(),
        sources: [(backend.id, [source].into())].into(),
        ..Snapshot::default()
    };
    let snapshot = Arc::new(snapshot);
    let config =
        AdminConfig { snapshot, report: Arc::new(Report::default()), addresses: BTreeMap::new() };
    let view = dump(&config).backends.remove(0);
    assert_eq!((view.picker.as_str(), view.limits.requests), ("maglev", Some(9)));
    assert_eq!(view.endpoint_limits, LimitsView::default());
    let endpoint = &view.endpoints[0];
    assert_eq!((endpoint.locality.as_deref(), endpoint.tier), (Some("west/1"), 2));
    assert_eq!(view.sources[0].place, "rules.yaml:12");
    assert_eq!(view.sources[0].document, "DestinationRule shop/payments");
}
