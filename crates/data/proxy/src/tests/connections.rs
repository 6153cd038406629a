//! Bounds on connections, as clients meet them.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use weft_resilience::settings::LimitSettings;
use weft_runtime::{task, time};

use super::harness::{Begun, Client, Http, Origin, Setup, reply, run_bounded, until};

/// What is under way at one time, and the most there ever was.
#[derive(Default)]
struct Load {
    now: Cell<usize>,
    peak: Cell<usize>,
}

fn connections(max: u32) -> LimitSettings {
    LimitSettings { connections: Some(max), ..LimitSettings::default() }
}

#[test]
fn clients_share_what_connections_there_may_be() {
    for down in [Http::One, Http::Two] {
        run_bounded(async {
            let load = Rc::new(Load::default());
            let seen = load.clone();
            let origin = Origin::start(Http::One, move |Begun { leg, .. }| {
                let load = seen.clone();
                async move {
                    load.now.set(load.now.get() + 1);
                    load.peak.set(load.peak.get().max(load.now.get()));
                    time::sleep(Duration::from_millis(1)).await;
                    load.now.set(load.now.get() - 1);
                    reply(leg, 200, b"ok").await
                }
            })
            .await;
            let setup = Setup::new(Http::One, &[origin.addr]);
            let gateway = setup.calling(|calling| calling.limits = connections(2)).start().await;
            let clients: Vec<_> = (0..10)
                .map(|_| {
                    let addr = gateway.addr;
                    task::spawn("client", async move {
                        let mut client = Client::connect(down, addr).await;
                        for _ in 0..10 {
                            assert_eq!(client.get("/").await.status, 200);
                        }
                    })
                })
                .collect();
            for client in clients {
                assert_eq!(client.await, Ok(()), "{down:?}");
            }
            assert_eq!(load.peak.get(), 2, "{down:?}");
            assert_eq!(origin.connections(), 2, "{down:?}: they go from request to request");
            assert_eq!(gateway.metric("weftway_upstream_requests_pending{backend=\"one\"}"), 0.0);
            gateway.until_idle().await;
        });
    }
}

#[test]
fn who_may_not_even_wait_is_told_so_at_once() {
    run_bounded(async {
        let (begun, held) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(true)));
        let (count, hold) = (begun.clone(), held.clone());
        let origin = Origin::start(Http::One, move |Begun { leg, .. }| {
            let (count, hold) = (count.clone(), hold.clone());
            async move {
                count.set(count.get() + 1);
                until("it is let go", || !hold.get()).await;
                reply(leg, 200, b"ok").await
            }
        })
        .await;
        let setup = Setup::new(Http::One, &[origin.addr]).calling(|calling| {
            calling.limits = LimitSettings { pending: Some(1), ..connections(1) };
        });
        let gateway = setup.start().await;
        let ask = || {
            let addr = gateway.addr;
            task::spawn("client", async move {
                let mut client = Client::connect(Http::One, addr).await;
                client.get("/").await.status
            })
        };
        let first = ask();
        until("the first is under way", || begun.get() == 1).await;
        let second = ask();
        let pending = "weftway_upstream_requests_pending{backend=\"one\"}";
        until("the second waits", || gateway.metric(pending) == 1.0).await;
        assert_eq!(ask().await, Ok(503));
        let failures = "weftway_request_failures_total{reason=\"pending_overflow\"}";
        assert_eq!(gateway.metric(failures), 1.0);
        held.set(false);
        assert_eq!((first.await, second.await), (Ok(200), Ok(200)));
        gateway.until_idle().await;
    });
}
