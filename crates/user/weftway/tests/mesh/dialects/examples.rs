//! The files of `examples/`, as they are.

use weft_testkit::wait;

use crate::echo::{Call, Load, Tally, answered, check, status};

use super::{Borrowed, SHOP, WEB_1, WEB_2, failing, mesh, until_hedged};

/// The mesh with all files of a folder.
fn of(folder: &str) -> Borrowed {
    let folder = format!("{}/../../../examples/{folder}", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(folder).unwrap();
    let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let mut texts: Vec<String> = texts.collect();
    texts.sort();
    mesh(&[&texts.join("---\n")])
}

fn tally(mesh: &Borrowed, call: &Call, count: usize) -> Tally {
    Tally::of(&mesh.calls(SHOP, &Load::times(call, count)))
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn gateway_api_mesh() {
    let mesh = of("gateway-api-mesh");
    let call = Call::get("web/");
    tally(&mesh, &call, 500).check_shares(&[(WEB_1, 0.9), (WEB_2, 0.1)]);
    mesh.forget(WEB_2);
    let greet = |method: &str| Call::grpc(&format!("web:7070/hello.Greeter/{method}"));
    check(
        &mesh,
        SHOP,
        &[
            (call.header("x-version", "2"), answered(WEB_2)),
            (failing(Call::get("web/report"), 2, "status=503"), answered(WEB_1)),
            (Call::get("web/report").which("delay=3000"), status(504)),
            (greet("SayHello"), answered(WEB_1)),
            (greet("SayBye"), answered(WEB_2)),
            (Call::post("web/order", "a book"), answered(WEB_1)),
        ],
    );
    wait::until_true("the copy of the order", || mesh.seen(WEB_2) == 3);
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn linkerd() {
    let mesh = of("linkerd");
    // One instance counts the keys: the other one fails, and is left alone.
    mesh.tell(WEB_2, "status=500");
    let found = tally(&mesh, &Call::get("authors/authors"), 30);
    assert_eq!(found.failed(), 0, "two more tries find the other one: {found:?}");
    mesh.tell(WEB_2, "");
    let book = Call::get("books/books/7");
    check(
        &mesh,
        SHOP,
        &[
            (book.clone(), status(200)),
            (book.clone().which("delay=2000"), status(504)),
            (Call::post("books/books", "").which("status=409"), status(409)),
        ],
    );
    // Nobody has a share of its own but the shop.
    let many = Load::times(&Call::get("authors/authors"), 200).at_once(8);
    let found = Tally::of(&mesh.calls("near", &many));
    assert!(found.status(429) > 0, "{found:?}");
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn smi() {
    let mesh = of("smi");
    let call = Call::get("web/");
    tally(&mesh, &call, 500).check_shares(&[(WEB_1, 0.75), (WEB_2, 0.25)]);
    tally(&mesh, &call.header("x-beta", "yes"), 20).check_shares(&[(WEB_2, 1.0)]);
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn weftway() {
    let mesh = of("weftway");
    let cart = Call::get("carts/").header("x-user", "7");
    assert_eq!(tally(&mesh, &cart, 10).names.len(), 1);
    assert_eq!(tally(&mesh, &Call::get("jobs/"), 20).failed(), 0);
    let search = Call::get("search/");
    until_hedged(&mesh, &search);
    mesh.tell(WEB_1, "delay=4000 first=5");
    let found = tally(&mesh, &search, 60);
    assert_eq!(found.failed(), 0, "{found:?}");
    // Those that were slow at the first were answered by the second; and a second try may come late
    // by itself, when the first is about to be answered.
    assert!(mesh.seen(WEB_1) - found.names[WEB_1] as u64 >= 5, "{found:?}");
}
