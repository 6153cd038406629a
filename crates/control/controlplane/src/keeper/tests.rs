use std::convert::Infallible;
use std::time::{Duration, UNIX_EPOCH};

use weft_authority::Lifetimes;
use weft_model::identity::TrustDomain;

use super::*;

fn authority() -> Authority {
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    Authority::generate(TrustDomain::default(), Lifetimes::default(), now).unwrap()
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
        let made = Keeper::open(&path, &secret, authority).await.unwrap();
        let opened = Keeper::open(&path, &secret, || panic!("there is one")).await.unwrap();
        assert_eq!(root(&made), root(&opened));
        let before = std::fs::read(&path).unwrap();
        let wrong = Secret::passphrase("incorrect horse battery").unwrap();
        let error = Keeper::open(&path, &wrong, authority).await.unwrap_err();
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
        let keeper = Keeper::open(&path, &secret, authority).await.unwrap();
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
