use std::convert::Infallible;
use std::time::{Duration, UNIX_EPOCH};

use weft_authority::Lifetimes;
use weft_model::identity::TrustDomain;

use super::*;

fn authority() -> Authority {
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    Authority::generate(TrustDomain::default(), Lifetimes::default(), now).unwrap()
}

/// Opens a file, and makes an authority when there is none.
async fn open(path: &Path, secret: &Secret) -> Result<Keeper, CannotKeep> {
    match Keeper::open(path, secret).await? {
        Opened::Missing(vacancy) => vacancy.fill(authority()).await,
        Opened::Found(keeper) => Ok(*keeper),
    }
}

fn root(keeper: &Keeper) -> weft_authority::Fingerprint {
    keeper.authority().rotation().signing().root().certificate().fingerprint()
}

#[test]
fn the_file_is_made_once_and_opens_with_its_secret_alone() {
    weft_runtime::worker::block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authority");
        let secret = Secret::passphrase("correct horse battery").unwrap();
        let made = open(&path, &secret).await.unwrap();
        let opened = open(&path, &secret).await.unwrap();
        assert_eq!(root(&made), root(&opened));
        let before = std::fs::read(&path).unwrap();
        let wrong = Secret::passphrase("incorrect horse battery").unwrap();
        let error = open(&path, &wrong).await.unwrap_err();
        assert!(matches!(error, CannotKeep::Sealed { .. }));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    })
    .unwrap();
}

#[test]
fn a_change_that_cannot_be_kept_is_not_made() {
    weft_runtime::worker::block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone").join("authority");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        let secret = Secret::key_file(&[7; 32]).unwrap();
        let keeper = open(&path, &secret).await.unwrap();
        let before = root(&keeper);
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        let changed = keeper.change(|state| {
            state.authority = authority();
            Ok::<_, Infallible>(())
        });
        assert!(matches!(changed.await.unwrap_err(), CannotChange::NotKept(_)));
        assert_eq!(root(&keeper), before);
    })
    .unwrap();
}

#[test]
fn what_is_set_up_is_there_the_next_time() {
    weft_runtime::worker::block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authority");
        let secret = Secret::key_file(&[7; 32]).unwrap();
        let hour = Lifetimes { leaf: Duration::from_secs(3600), ..Lifetimes::default() };
        let keeper = open(&path, &secret).await.unwrap();
        keeper.set_up(|authority| authority.set_lifetimes(hour)).await.unwrap();
        let moment = Lifetimes { leaf: Duration::from_secs(1), ..hour };
        let refused = keeper.set_up(|authority| authority.set_lifetimes(moment)).await;
        assert!(matches!(refused.unwrap_err(), CannotChange::Refused(_)));
        let again = open(&path, &secret).await.unwrap();
        assert_eq!(*again.authority().lifetimes(), hour);
        assert_eq!(root(&again), root(&keeper));
    })
    .unwrap();
}
