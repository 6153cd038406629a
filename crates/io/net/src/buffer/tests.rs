use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::*;

fn pool() -> BufferPool {
    BufferPool::new(PoolLimits { small_max: 1, bulk_max: 1 })
}

#[test]
fn a_buffer_comes_back_and_is_lent_again() {
    let pool = pool();
    let mut first = pool.small();
    assert_eq!((first.len(), pool.lent()), (SMALL_BYTES, 1));
    assert!(first.iter().all(|byte| *byte == 0));
    first[0] = 7;
    drop(first);
    assert_eq!(pool.lent(), 0);
    assert_eq!(pool.small()[0], 7, "the same memory is lent again");
}

#[test]
fn the_pool_keeps_no_more_than_its_limit() {
    let pool = pool();
    let many: Vec<Buffer> = (0..4).map(|_| pool.bulk()).collect();
    assert_eq!(pool.lent(), 4);
    drop(many);
    assert_eq!(pool.0.bulk.borrow().len(), 1);
}

#[test]
fn an_inbox_grows_by_need_and_owns_nothing_when_empty() {
    let pool = pool();
    let mut inbox = Inbox::new(&pool);
    assert_eq!(inbox.append(&[1; 10_000]), 10_000);
    assert_eq!(inbox.buffer.as_ref().unwrap().len(), SMALL_BYTES);
    assert_eq!(inbox.append(&[2; 10_000]), 10_000);
    assert_eq!(inbox.buffer.as_ref().unwrap().len(), BULK_BYTES);
    assert_eq!(inbox.append(&[3; 100_000]), BULK_BYTES - 20_000);
    assert!(inbox.is_full());
    inbox.consume(15_000);
    assert_eq!(inbox.bytes()[0], 2);
    inbox.consume(usize::MAX);
    assert_eq!((inbox.len(), pool.lent()), (0, 0));
}

#[tokio::test]
async fn a_read_that_waits_owns_no_buffer() {
    let pool = pool();
    let mut inbox = Inbox::new(&pool);
    let (mut near, mut far) = tokio::io::duplex(BULK_BYTES);
    let waker = std::task::Waker::noop();
    let polled = inbox.poll_fill(&mut Context::from_waker(waker), &mut near);
    assert!(polled.is_pending());
    assert_eq!(pool.lent(), 0);
    far.write_all(&[9; 20_000]).await.unwrap();
    assert_eq!(inbox.fill(&mut near).await.unwrap(), SMALL_BYTES);
    assert_eq!(inbox.fill(&mut near).await.unwrap(), 20_000 - SMALL_BYTES);
    inbox.clear();
    drop(far);
    assert_eq!(inbox.fill(&mut near).await.unwrap(), 0);
    assert_eq!(pool.lent(), 0);
}

proptest! {
    /// Whatever is appended comes out in order, whatever the sizes.
    #[test]
    fn an_inbox_is_a_queue(steps in proptest::collection::vec((0usize..30_000, 0usize..30_000), 1..40)) {
        let pool = BufferPool::default();
        let mut inbox = Inbox::new(&pool);
        let (mut next_in, mut next_out) = (0u64, 0u64);
        for (push, pop) in steps {
            let bytes: Vec<u8> = (0..push as u64).map(|n| ((next_in + n) % 251) as u8).collect();
            next_in += inbox.append(&bytes) as u64;
            let pop = pop.min(inbox.len());
            for byte in &inbox.bytes()[..pop] {
                prop_assert_eq!(*byte, (next_out % 251) as u8);
                next_out += 1;
            }
            inbox.consume(pop);
            prop_assert_eq!(inbox.len() as u64, next_in - next_out);
            prop_assert_eq!(pool.lent(), usize::from(!inbox.is_empty()));
        }
    }
}
