use super::*;

#[test]
fn as_many_as_the_system_allows() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let few = maximum.map_or(1024, |maximum| maximum.min(1024));
    setrlimit(Resource::Nofile, Rlimit { current: Some(few), maximum }).unwrap();
    raise();
    let now = getrlimit(Resource::Nofile).current.unwrap();
    assert_eq!(now, maximum.map_or(WANTED, |maximum| maximum.min(WANTED)));
}
