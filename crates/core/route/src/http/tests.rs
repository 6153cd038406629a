use proptest::prelude::*;
use weft_model::route::Rank;

use super::*;
use crate::matching::holds;
use crate::names::NameKey;
use crate::testing::{any_client, any_request, client, request, route, routes, rules};

/// Checks which of some rules takes `GET http://host/target`.
fn check(table: &HttpTable, host: &str, target: &str, expected: Option<&str>) {
    let head = request("GET", host, target, &[]);
    let found = table.find(&head, client()).map(|matched| {
        assert!(Arc::ptr_eq(matched.route(), &table.routes()[matched.index()]));
        matched.index()
    });
    let expected = expected.map(|rule| {
        let wanted = crate::rule::parse_http(rule).unwrap();
        table.routes().iter().position(|route| route.matcher == wanted).unwrap()
    });
    assert_eq!(found, expected, "{host}{target}");
}

#[test]
fn the_greatest_rank_that_matches_wins() {
    let table = HttpTable::new(&rules(&[
        "PathPrefix(`/`)",
        "Host(`shop.example`)",
        "Host(`shop.example`) && PathPrefix(`/products`)",
        "Host(`shop.example`) && Path(`/products`) && Method(`POST`)",
        "Host(`shop.example`) && Path(`/products/7`)",
        "Host(`*.shop.example`) && PathPrefix(`/`)",
        "HostRegexp(`^[a-z]+\\.[a-z]+\\.shop\\.example$`)",
        "Host(`a.example`) || Host(`b.example`)",
        "PathRegexp(`^/v[0-9]+/special`)",
    ]));
    check(&table, "other.example", "/x", Some("PathPrefix(`/`)"));
    check(&table, "shop.example", "/x", Some("Host(`shop.example`)"));
    let products = Some("Host(`shop.example`) && PathPrefix(`/products`)");
    check(&table, "shop.example", "/products", products);
    check(&table, "shop.example:8080", "/products-for-sale", products);
    // Its rule is longer than that of the exact path.
    check(&table, "shop.example", "/products/7", products);
    check(&table, "eu.shop.example", "/", Some("Host(`*.shop.example`) && PathPrefix(`/`)"));
    check(
        &table,
        "a.eu.shop.example",
        "/",
        Some("HostRegexp(`^[a-z]+\\.[a-z]+\\.shop\\.example$`)"),
    );
    check(&table, "b.example", "/", Some("Host(`a.example`) || Host(`b.example`)"));
    check(&table, "c.example", "/v12/special", Some("PathRegexp(`^/v[0-9]+/special`)"));
    check(&HttpTable::default(), "a", "/", None);
}

#[test]
fn a_shorter_path_of_greater_rank_wins() {
    let rank = |major| Rank { major, ..Rank::default() };
    let matcher = |rule| crate::rule::parse_http(rule).unwrap();
    let table = HttpTable::new(&[
        route(rank(1), matcher("Path(`/a/b`)")),
        route(rank(3), matcher("PathPrefix(`/a`)")),
        route(rank(2), matcher("PathPrefix(`/`)")),
    ]);
    check(&table, "h", "/a/b", Some("PathPrefix(`/a`)"));
    check(&table, "h", "/b", Some("PathPrefix(`/`)"));
}

#[test]
fn many_routes_under_one_key_keep_their_order() {
    let routes: Vec<_> = (0..64_i64)
        .map(|index| {
            let rank = Rank { major: index * 37 % 64, ..Rank::default() };
            route(rank, crate::rule::parse_http("Host(`a`) && PathPrefix(`/a`)").unwrap())
        })
        .collect();
    for count in 1..routes.len() {
        let table = HttpTable::new(&routes[..count]);
        let found = table.find(&request("GET", "a", "/a", &[]), client()).unwrap();
        let best = routes[..count].iter().map(|route| route.rank).max();
        assert_eq!(Some(found.route().rank), best);
    }
}

#[test]
fn too_many_alternatives_are_filed_by_less() {
    let any = |count: usize, make: &dyn Fn(usize) -> String| {
        format!("({})", (0..count).map(make).collect::<Vec<_>>().join(" || "))
    };
    let hosts = |count| any(count, &|index| format!("Host(`h{index}`)"));
    let paths = |count| any(count, &|index| format!("Path(`/p{index}`)"));
    let by_host = format!("{} && {}", hosts(100), paths(100));
    let by_nothing = format!("({0} || Method(`GET`)) && {0}", hosts(60));
    let table = HttpTable::new(&rules(&[&by_host, &by_nothing]));
    check(&table, "h99", "/p99", Some(&by_host));
    check(&table, "h99", "/p100", None);
    check(&table, "h59", "/p100", Some(&by_nothing));
    assert_eq!(table.positions.len(), 100 + 1);
}

#[test]
fn an_update_shares_what_did_not_change() {
    let mut all = rules(&["Host(`a`)", "Host(`b`)", "Host(`b`) && Path(`/x`)", "Host(`c`)"]);
    let before = HttpTable::new(&all);
    all[2] = rules(&["Host(`b`) && Path(`/yy`)"]).swap_remove(0);
    all.remove(3);
    all.insert(0, rules(&["Host(`d`)"]).swap_remove(0));
    let after = HttpTable::update(&before, &all);
    let tree = |table: &HttpTable, name: &str| {
        let host = weft_model::route::HostMatch::Exact(name.into());
        let key: NameKey<'_> = crate::names::NameKeys::of(&host).keys[0].clone();
        table.buckets.get(&key).map(|bucket| bucket.tree.clone())
    };
    assert!(Arc::ptr_eq(&tree(&before, "a").unwrap(), &tree(&after, "a").unwrap()));
    assert!(!Arc::ptr_eq(&tree(&before, "b").unwrap(), &tree(&after, "b").unwrap()));
    assert!(tree(&after, "c").is_none());
    check(&after, "a", "/", Some("Host(`a`)"));
    check(&after, "b", "/x", Some("Host(`b`)"));
    check(&after, "b", "/yy", Some("Host(`b`) && Path(`/yy`)"));
    check(&after, "c", "/", None);
    check(&after, "d", "/", Some("Host(`d`)"));
}

/// The route that a look at each of them finds.
fn naive<'a>(
    routes: &'a [Arc<Route>],
    head: &RequestHead,
    client_ip: IpAddr,
) -> Option<&'a Arc<Route>> {
    let matching = routes.iter().filter(|route| holds(&route.matcher, &Ask::new(head, client_ip)));
    matching.max_by_key(|route| route.rank)
}

fn agrees(
    table: &HttpTable,
    routes: &[Arc<Route>],
    requests: &[RequestHead],
    client_ip: IpAddr,
) -> Result<(), TestCaseError> {
    for head in requests {
        let found = table.find(head, client_ip);
        let expected = naive(routes, head, client_ip);
        prop_assert_eq!(
            found.map(|matched| matched.route().id.clone()),
            expected.map(|route| route.id.clone()),
            "{:?}",
            head
        );
        if let Some(matched) = found {
            prop_assert!(Arc::ptr_eq(matched.route(), &routes[matched.index()]));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_table_finds_what_a_look_at_each_route_finds(
        routes in routes(),
        requests in prop::collection::vec(any_request(), 1..12),
        client_ip in any_client(),
    ) {
        agrees(&HttpTable::new(&routes), &routes, &requests, client_ip)?;
    }

    #[test]
    fn an_updated_table_is_as_good_as_a_fresh_one(
        all in routes(),
        changes in prop::collection::vec((any::<prop::sample::Selector>(), 0..24_usize), 1..4),
        requests in prop::collection::vec(any_request(), 1..8),
        client_ip in any_client(),
    ) {
        // Generations keep arbitrary parts of one set, in arbitrary order.
        let mut table = HttpTable::default();
        for (selector, count) in changes {
            let mut kept: Vec<Arc<Route>> = Vec::new();
            for _ in 0..count.min(all.len()) {
                let route = selector.select(&all).clone();
                match kept.iter().position(|other| Arc::ptr_eq(other, &route)) {
                    Some(place) => drop(kept.remove(place)),
                    None => kept.push(route),
                }
            }
            table = HttpTable::update(&table, &kept);
            agrees(&table, &kept, &requests, client_ip)?;
            prop_assert_eq!(table.positions.len(), HttpTable::new(&kept).positions.len());
        }
    }
}
