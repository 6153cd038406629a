use super::*;

#[tokio::test(start_paused = true)]
async fn ends_as_soon_as_the_last_guard_is_dropped() {
    let (drain, watch) = drain();
    let other = watch.clone();
    let run = drain.run(Duration::from_secs(30), std::future::pending());
    let work = async move {
        let mut watch = watch;
        assert_eq!(watch.reached(Phase::Draining).await, Phase::Draining);
        time::sleep(Duration::from_secs(3)).await;
        drop(watch);
        drop(other);
    };
    let start = time::now();
    let (drained, ()) = tokio::join!(run, work);
    assert_eq!(drained, Drained::InTime);
    assert_eq!((time::now() - start).as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn forces_at_the_deadline() {
    let (drain, mut watch) = drain();
    let run = drain.run(Duration::from_secs(10), std::future::pending());
    let work = async {
        watch.reached(Phase::Forced).await;
        drop(watch);
    };
    let start = time::now();
    let (drained, ()) = tokio::join!(run, work);
    assert_eq!(drained, Drained::Forced);
    assert_eq!((time::now() - start).as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_forces_at_once() {
    let (drain, mut watch) = drain();
    let run = drain.run(Duration::from_secs(10), time::sleep(Duration::from_secs(1)));
    let work = async {
        watch.reached(Phase::Forced).await;
        drop(watch);
    };
    let start = time::now();
    let (drained, ()) = tokio::join!(run, work);
    assert_eq!(drained, Drained::Forced);
    assert_eq!((time::now() - start).as_secs(), 1);
}
