use std::cell::RefCell;
use std::collections::VecDeque;

use super::*;
use crate::testing::{local, named, prepared};

/// Gives the answers it was told to, then hangs.
struct Told(RefCell<VecDeque<Result<Answer, LookupError>>>);

impl Lookup for Told {
    async fn lookup(&self, name: &str) -> Result<Answer, LookupError> {
        assert_eq!(name, "shop.example");
        let next = self.0.borrow_mut().pop_front();
        match next {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

fn answer(addrs: &[[u8; 4]], ttl: Duration) -> Result<Answer, LookupError> {
    Ok(Answer { addrs: addrs.iter().map(|addr| (*addr).into()).collect(), ttl })
}

fn addrs(resolved: &Resolved) -> Vec<String> {
    let endpoints = resolved.get(&BackendId::new("shop"));
    endpoints.into_iter().flat_map(|all| all.iter()).map(|one| one.addr.to_string()).collect()
}

/// On a paused clock: nothing here waits for a socket.
fn paused<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build_local(tokio::runtime::LocalOptions::default())
        .expect("a runtime can be made")
        .block_on(future)
}

#[test]
fn answers_appear_as_they_change() {
    paused(async {
        let told = Told(RefCell::new(VecDeque::from([
            answer(&[[10, 0, 0, 1]], Duration::from_secs(30)),
            Err(LookupError::Failed("the server is down".into())),
            answer(&[[10, 0, 0, 1]], Duration::from_secs(30)),
            answer(&[[10, 0, 0, 2]], Duration::from_secs(30)),
        ])));
        let start = time::now();
        let (sender, backends) = watch::channel(prepared([named("shop", "shop.example", 80)]));
        let (resolver, mut resolved) = Resolver::with_lookup(backends, told);
        let resolver = task::spawn("resolver", resolver.run());
        resolved.changed().await.unwrap();
        assert_eq!(addrs(&resolved.borrow_and_update()), ["10.0.0.1:80"]);
        // The failure and the same answer again change nothing.
        resolved.changed().await.unwrap();
        assert_eq!(addrs(&resolved.borrow_and_update()), ["10.0.0.2:80"]);
        // The wait after a failure varies by a tenth of its second.
        assert_eq!((time::now() - start).as_secs_f64().round(), 61.0);
        // The last question hangs; the addresses end an hour after their TTL.
        resolved.changed().await.unwrap();
        assert_eq!(addrs(&resolved.borrow_and_update()), [""; 0]);
        assert_eq!((time::now() - start).as_secs_f64().round(), 61.0 + 30.0 + 3600.0);
        sender.send_replace(prepared([]));
        resolved.changed().await.unwrap();
        assert!(resolved.borrow_and_update().is_empty());
        drop(sender);
        resolver.await.expect("it ends with the configuration");
    });
}

#[test]
fn the_system_knows_localhost_without_a_resolver() {
    local(async {
        let (_sender, backends) = watch::channel(prepared([named("shop", "localhost", 80)]));
        let (resolver, mut resolved) = Resolver::start(backends);
        task::spawn("resolver", resolver.run());
        resolved.changed().await.unwrap();
        assert_eq!(addrs(&resolved.borrow_and_update()), ["127.0.0.1:80"]);
    });
}
