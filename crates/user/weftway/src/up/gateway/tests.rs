use clap::Parser as _;

use super::*;
use crate::args::{Args, Command as Role};

#[test]
fn it_runs_as_whoever_has_typed_the_command() {
    let check = |is_root, sudo, user: User, before: &str| {
        assert_eq!(User::of(is_root, sudo), user);
        assert_eq!(user.before(true).join(" "), before);
        assert_eq!(user.before(false), Vec::<String>::new());
    };
    check(false, None, User::Own, "setpriv --pdeathsig=TERM --no-new-privs --");
    check(false, Some((1000, 100)), User::Own, "setpriv --pdeathsig=TERM --no-new-privs --");
    let root = "setpriv --pdeathsig=TERM --bounding-set=-all,+net_bind_service,+dac_override \
                --no-new-privs --";
    check(true, None, User::Root, root);
    check(true, Some((0, 0)), User::Root, root);
    let user = "setpriv --pdeathsig=TERM --reuid=1000 --regid=100 --clear-groups \
                --inh-caps=-all,+net_bind_service --ambient-caps=-all,+net_bind_service \
                --bounding-set=-all,+net_bind_service --no-new-privs --";
    check(true, Some((1000, 100)), User::Behind(1000, 100), user);
}

#[test]
fn what_it_is_told_is_what_a_gateway_takes() {
    let typed = [
        "weftway",
        "up",
        "-f",
        "routes",
        "more.yaml",
        "--http=127.0.0.1:0",
        "--port-map=80=8081",
        "--gateway-admin=off",
        "--trust-domain=example.org",
    ];
    let Role::Up(up) = Args::parse_from(typed).command else { panic!("it is `up`") };
    let told = arguments(&up, Path::new("/s"), Path::new("/s/a"), Path::new("/c.sock"));
    let all = std::iter::once("weftway".to_owned()).chain(told);
    let Role::Gateway(gateway) = Args::try_parse_from(all).unwrap().command else { panic!() };
    assert_eq!(gateway.documents.files, ["routes", "more.yaml"].map(PathBuf::from));
    assert_eq!(gateway.member.control.as_deref(), Some("/c.sock"));
    assert_eq!(gateway.member.workload, "weftway-system/weftway-gateway");
    assert_eq!(gateway.member.link.trust_domain, "example.org");
    assert_eq!(gateway.member.link.state.as_deref(), Some(Path::new("/s")));
    assert_eq!(gateway.documents.listen.port_map, [(80, 8081)]);
    assert_eq!(gateway.process.admin, AddressOrOff::Off);
}

#[test]
fn where_it_listens_is_read_from_its_file() {
    let text = r#"{"listeners":{"web":"127.0.0.1:8080"},"admin":null}"#;
    let web = ("web".to_owned(), "127.0.0.1:8080".parse().unwrap());
    assert_eq!(listeners(text), Some([web].into()));
    assert_eq!(listeners("{"), None);
}
