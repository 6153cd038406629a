use std::collections::VecDeque;

use http_body_util::{BodyExt, Collected};
use proptest::prelude::*;
use tokio::task::JoinSet;

use super::*;
use crate::tests::{begin, secs};

/// What a body gives next.
type Given = Option<Result<Frame<Bytes>, &'static str>>;

/// A body whose frames a test hands out; a clone is the test's end of it.
#[derive(Debug, Clone, Default)]
struct Fed(Arc<Mutex<Feed>>);

#[derive(Debug, Default)]
struct Feed {
    given: VecDeque<Given>,
    waker: Option<Waker>,
}

impl Fed {
    fn push(&self, frame: Given) {
        let mut fed = self.0.lock().unwrap();
        fed.given.push_back(frame);
        if let Some(waker) = fed.waker.take() {
            waker.wake();
        }
    }

    fn data(&self, text: &'static str) {
        self.push(Some(Ok(Frame::data(Bytes::from(text)))));
    }
}

impl Body for Fed {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        let mut fed = self.0.lock().unwrap();
        match fed.given.pop_front() {
            Some(frame) => Poll::Ready(frame),
            None => {
                fed.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The next frame's data.
async fn next(body: &mut ReplayBody<Fed>) -> Option<Result<Bytes, String>> {
    let frame = body.frame().await?.map_err(|error| error.to_string());
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
}

#[tokio::test]
async fn a_clone_sends_what_was_kept_and_goes_on() {
    let fed = Fed::default();
    let mut first = ReplayBody::new(fed.clone(), 100);
    fed.data("hello, ");
    assert_eq!(next(&mut first).await, Some(Ok("hello, ".into())));
    let mut second = first.try_clone().unwrap();
    drop(first);
    assert_eq!(next(&mut second).await, Some(Ok("hello, ".into())));
    fed.data("you");
    assert_eq!(next(&mut second).await, Some(Ok("you".into())));
    fed.push(None);
    assert_eq!(next(&mut second).await, None);
    let all = second.try_clone().unwrap().collect().await.unwrap();
    assert_eq!(all.to_bytes(), "hello, you");
}

/// Reads a body to its end in a task of its own, which has begun to wait.
async fn read(body: ReplayBody<Fed>) -> JoinSet<Collected<Bytes>> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { body.collect().await.unwrap() });
    tokio::task::yield_now().await;
    tasks
}

/// What a task has read, or a failure if nothing wakes it any more.
async fn all(mut task: JoinSet<Collected<Bytes>>) -> Collected<Bytes> {
    // The paused clock moves on as soon as nobody can.
    let read = tokio::time::timeout(secs(1), task.join_next()).await;
    read.expect("nobody wakes it").unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn two_attempts_at_one_time_both_get_everything() {
    let fed = Fed::default();
    let body = ReplayBody::new(fed.clone(), 100);
    // Both wait; the body underneath knows only the waker of the last.
    let (first, second) = (read(body.try_clone().unwrap()).await, read(body).await);
    for text in ["one ", "two ", "three"] {
        fed.data(text);
        tokio::task::yield_now().await;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", ::http::HeaderValue::from_static("0"));
    fed.push(Some(Ok(Frame::trailers(trailers))));
    fed.push(None);
    for task in [first, second] {
        let all = all(task).await;
        assert_eq!(all.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(all.to_bytes(), "one two three");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_woken_when_the_one_who_reads_is_dropped() {
    let fed = Fed::default();
    let body = ReplayBody::new(fed.clone(), 100);
    let second = read(body.try_clone().unwrap()).await;
    let mut first = Box::pin(body.collect());
    begin(&mut first).await; // the last waker that the body underneath knows
    drop(first);
    tokio::task::yield_now().await;
    fed.data("late");
    fed.push(None);
    assert_eq!(all(second).await.to_bytes(), "late");
}

#[tokio::test]
async fn what_is_too_long_goes_on_but_cannot_be_sent_again() {
    let fed = Fed::default();
    let mut first = ReplayBody::new(fed.clone(), 5);
    fed.data("hello");
    assert_eq!(next(&mut first).await, Some(Ok("hello".into())));
    let mut second = first.try_clone().unwrap();
    fed.data("!");
    assert_eq!(next(&mut first).await, Some(Ok("!".into())));
    assert!(first.try_clone().is_none());
    assert_eq!(next(&mut second).await, Some(Err(ReplayError::TooLong.to_string())));
    fed.data("more");
    assert_eq!(next(&mut first).await, Some(Ok("more".into())));
}

#[tokio::test]
async fn a_body_that_fails_fails_every_attempt() {
    let fed = Fed::default();
    let mut first = ReplayBody::new(fed.clone(), 100);
    let mut second = first.try_clone().unwrap();
    fed.data("hello");
    fed.push(Some(Err("disk")));
    assert_eq!(next(&mut first).await, Some(Ok("hello".into())));
    assert_eq!(next(&mut first).await, Some(Err("disk".to_owned())));
    assert!(first.try_clone().is_none());
    assert_eq!(next(&mut second).await, Some(Ok("hello".into())));
    assert_eq!(next(&mut second).await, Some(Err(ReplayError::Failed.to_string())));
}

/// What a body that was read to its end keeps, beside its bytes.
async fn kept(frames: impl IntoIterator<Item = Bytes>, bytes_max: usize) -> (usize, usize) {
    let fed = Fed::default();
    for data in frames {
        fed.push(Some(Ok(Frame::data(data))));
    }
    fed.push(None);
    let mut body = ReplayBody::new(fed, bytes_max);
    while body.frame().await.is_some() {}
    assert!(body.try_clone().is_some(), "it fits");
    let shared = body.lock();
    (shared.kept.pieces.len(), shared.kept.small.capacity())
}

#[tokio::test]
async fn many_small_pieces_take_no_more_than_a_few_large_ones() {
    let empty = std::iter::repeat_n(Bytes::new(), 100_000);
    assert_eq!(kept(empty, 0).await, (0, 0));
    // Each is a part of a large buffer, which nobody keeps for it.
    let buffer = Bytes::from(vec![7; 1 << 20]);
    let held = buffer.clone();
    let single = (0..64 << 10).map(|index| held.slice(index..=index));
    let (pieces, capacity) = kept(single, 64 << 10).await;
    assert!(pieces <= 16 && capacity <= 2 * SMALL, "{pieces} {capacity}");
    // In turns.
    let turns = (0..20).flat_map(|_| [Bytes::from_static(b"x"), held.slice(..SMALL)]);
    let (pieces, _) = kept(turns, 1 << 20).await;
    assert_eq!(pieces, 40);
}

#[tokio::test]
async fn what_is_small_is_kept_without_the_buffer_that_it_came_in() {
    let fed = Fed::default();
    let mut body = ReplayBody::new(fed.clone(), 100);
    let buffer = Bytes::from(vec![7; 1 << 20]);
    fed.push(Some(Ok(Frame::data(buffer.slice(..1)))));
    assert_eq!(next(&mut body).await, Some(Ok(Bytes::from_static(&[7]))));
    assert!(buffer.is_unique(), "a byte of it holds the whole");
    let mut second = body.try_clone().unwrap();
    assert_eq!(next(&mut second).await, Some(Ok(Bytes::from_static(&[7]))));
}

#[tokio::test]
async fn trailers_count_as_well() {
    let check = async |bytes_max, is_kept| {
        let fed = Fed::default();
        let mut body = ReplayBody::new(fed.clone(), bytes_max);
        fed.data("hello");
        let mut trailers = HeaderMap::new();
        trailers.insert("digest", ::http::HeaderValue::from_static("7"));
        fed.push(Some(Ok(Frame::trailers(trailers))));
        assert_eq!(next(&mut body).await, Some(Ok("hello".into())));
        assert!(body.frame().await.unwrap().unwrap().is_trailers());
        assert_eq!(body.try_clone().is_some(), is_kept, "{bytes_max}");
    };
    check(12, true).await;
    check(11, false).await;
}

#[test]
fn its_size_is_that_of_the_body() {
    let body = ReplayBody::new(http_body_util::Full::new(Bytes::from("hello")), 100);
    assert_eq!(body.size_hint().exact(), Some(5));
    assert!(!body.is_end_stream());
    let empty = ReplayBody::new(http_body_util::Empty::<Bytes>::new(), 100);
    assert!(empty.is_end_stream());
}

proptest! {
    /// Clones that read a body in turns each send it whole, as long as it fits.
    #[test]
    fn every_clone_sends_the_whole(
        pieces in prop::collection::vec(
            prop_oneof![0..6usize, SMALL - 3..SMALL + 3].prop_flat_map(|length| {
                "[a-z]".prop_map(move |letter| letter.repeat(length))
            }),
            0..8,
        ),
        turns in prop::collection::vec(0usize..3, 0..40),
    ) {
        let fed = Fed::default();
        for piece in &pieces {
            fed.push(Some(Ok(Frame::data(Bytes::from(piece.clone())))));
        }
        fed.push(None);
        let body = ReplayBody::new(fed, 8 * (SMALL + 3));
        let mut clones = [body.try_clone().unwrap(), body.try_clone().unwrap(), body];
        let mut sent = [const { String::new() }; 3];
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for turn in turns {
                if let Some(Ok(data)) = next(&mut clones[turn]).await {
                    sent[turn].push_str(std::str::from_utf8(&data).unwrap());
                }
            }
            for (clone, sent) in clones.iter_mut().zip(&mut sent) {
                while let Some(Ok(data)) = next(clone).await {
                    sent.push_str(std::str::from_utf8(&data).unwrap());
                }
            }
        });
        let whole = pieces.concat();
        prop_assert_eq!(sent, [whole.clone(), whole.clone(), whole]);
    }
}
