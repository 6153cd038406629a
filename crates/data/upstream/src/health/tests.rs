use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};

use weft_model::id::BackendId;
use weft_testkit::{Next, RawOrigin};

use super::*;
use crate::testing::{ask_health, backend, check, local, prepared, until, with};

fn checked(id: &str, addrs: &[SocketAddr]) -> crate::PreparedBackend {
    with(backend(id, addrs), |settings| {
        settings.health_check = Some(Arc::new(check(ask_health())));
    })
}

fn gauge(registry: &Registry, id: &str, addr: SocketAddr) -> Option<String> {
    let line = format!("weftway_endpoint_healthy{{backend=\"{id}\",endpoint=\"{addr}\"}} ");
    registry.render().lines().find_map(|have| have.strip_prefix(&line).map(str::to_owned))
}

#[test]
fn health_follows_the_answers_and_the_configuration() {
    let origin = RawOrigin::start("shop");
    let status = Arc::new(AtomicU16::new(503));
    let answered = status.clone();
    origin.on("/health", move |x| {
        x.respond(answered.load(Ordering::SeqCst), &[], b"")?;
        Ok(Next::Close)
    });
    local(async {
        let (registry, shared) = (Registry::new(), Shared::new(time::now()));
        let (sender, receiver) = watch::channel(prepared([checked("shop", &[origin.addr()])]));
        let prober = task::spawn(
            "health",
            Prober::new(shared.clone(), MeshTlsCell::new(), &registry).run(receiver),
        );
        let entry = shared.endpoint(&BackendId::new("shop"), origin.addr(), None);
        assert!(entry.is_healthy());
        until("the failing endpoint", || !entry.is_healthy()).await;
        until("its metric", || gauge(&registry, "shop", origin.addr()).as_deref() == Some("0"))
            .await;
        status.store(200, Ordering::SeqCst);
        until("the recovered endpoint", || entry.is_healthy()).await;
        until("its metric", || gauge(&registry, "shop", origin.addr()).as_deref() == Some("1"))
            .await;
        let text = registry.render();
        for result in ["passed", "failed"] {
            let series =
                format!("weftway_health_checks_total{{backend=\"shop\",result=\"{result}\"}} ");
            let count = text.lines().find_map(|line| line.strip_prefix(&series));
            assert!(count.is_some_and(|count| count != "0"), "{series} in\n{text}");
        }
        sender.send_replace(prepared([]));
        until("the end of the series", || gauge(&registry, "shop", origin.addr()).is_none()).await;
        drop(sender);
        prober.await.expect("it ends with the configuration");
        assert_eq!(registry.render(), "");
    });
}

#[test]
fn hanging_endpoints_do_not_hold_up_others() {
    // Takes connections (the kernel's queue does) and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_addr = silent.local_addr().unwrap();
    let origin = RawOrigin::start("shop");
    origin.on_status("/health", 500, "");
    local(async {
        let (registry, shared) = (Registry::new(), Shared::new(time::now()));
        let backends = [checked("silent", &[silent_addr]), checked("shop", &[origin.addr()])];
        let (_sender, receiver) = watch::channel(prepared(backends));
        let entry = shared.endpoint(&BackendId::new("shop"), origin.addr(), None);
        task::spawn("health", Prober::new(shared, MeshTlsCell::new(), &registry).run(receiver));
        until("the failing endpoint", || !entry.is_healthy()).await;
    });
}

#[test]
fn no_endpoint_is_blamed_for_our_want_of_a_certificate() {
    let (registry, shared) = (Registry::new(), Shared::new(time::now()));
    let addr = SocketAddr::from(([192, 0, 2, 1], 80));
    let mut prober = Prober::new(shared.clone(), MeshTlsCell::new(), &registry);
    prober.watched.follow(&prepared([checked("shop", &[addr])]), time::now());
    let due = prober.watched.take_due(time::now() + Duration::from_secs(1)).expect("it is due");
    prober.running = 1;
    let result = Err(ProbeError::Connect(ConnectError::NoCertificate));
    prober.take_in(Done { key: due.key.clone(), serial: due.serial, result });
    assert!(shared.endpoint(&due.key.0, addr, None).is_healthy());
    assert_eq!(registry.render(), "");
    // It is asked again.
    assert!(prober.watched.next_due().is_some());
}
