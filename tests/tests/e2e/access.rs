//! Who may see what: users and their namespaces, and an address that the network reaches.

use bench::container_log::Iostream;
use serde_json::{Value, json};
use tests::{aggregator::Aggregator, http::Http, scene::Scene, server::Server, wait};

use crate::lines::{LIMIT, exchange, setup};

/// Users see their namespaces only, whatever they ask, and writes need a role.
#[test]
fn users_see_what_is_theirs() {
    let mut scene = Scene::new("apiusers", Server::shared().unwrap()).unwrap();
    for namespace in ["shop", "secret"] {
        let mut made = scene.kubelet.container(namespace, "web-1", "web").unwrap();
        for n in 0..5 {
            made.log
                .line(Iostream::Stdout, format!("{namespace} {n}").as_bytes())
                .unwrap();
        }
    }
    let users = scene.dir("users");
    let mut aggregator = Aggregator::prepare(
        &scene.dir("aggregator"),
        &setup(
            &scene,
            &format!(", auth: users, users_file: '{}'", users.display()),
        ),
    )
    .unwrap();
    let (shop, shop_secret) = new_token(&aggregator);
    let (all, all_secret) = new_token(&aggregator);
    std::fs::write(
        &users,
        format!("shop:viewer:shop:{shop_secret}\nall:admin:*:{all_secret}\n"),
    )
    .unwrap();
    aggregator.start_again().unwrap();
    let _agent = scene.start_agent(&aggregator.url()).unwrap();
    let get = |token: &str, path: &str| ask(&aggregator.http(), token, "GET", path, "");
    wait::until(LIMIT, "the lines to be found", || {
        let (_, found) = get(&all, "/api/v1/count?from=1h");
        (found["count"].as_u64()? == 10).then_some(())
    })
    .unwrap();
    assert_eq!(get(&shop, "/api/v1/count?from=1h").1["count"], 5);
    assert_eq!(get(&shop, "/api/v1/count?from=1h&q=secret").1["count"], 0);
    assert_eq!(
        get(&shop, "/api/v1/search?from=1h&q=namespace:secret").1["total"]["value"],
        0
    );
    let values = get(&shop, "/api/v1/fields/namespace/values?from=1h").1;
    assert_eq!(values["values"], json!([{"value": "shop", "count": 5}]));
    assert_eq!(get(&shop, "/es/_search").1["hits"]["total"]["value"], 5);
    let (_, secret) = get(&all, "/api/v1/search?from=1h&q=namespace:secret");
    let id = secret["hits"][0]["id"].as_str().unwrap();
    assert_eq!(get(&shop, &format!("/api/v1/context?id={id}")).0, 404);
    let global = json!({"size": 0, "aggs": {"a": {"global": {}}}}).to_string();
    assert_eq!(
        ask(&aggregator.http(), &shop, "POST", "/es/_search", &global).0,
        400
    );
    let object = json!({"name": "x", "body": {}}).to_string();
    assert_eq!(
        ask(
            &aggregator.http(),
            &shop,
            "POST",
            "/api/v1/dashboards",
            &object
        )
        .0,
        403
    );
    assert_eq!(get("wrong", "/api/v1/me").0, 401);
    assert_eq!(get(&shop, "/api/v1/me").1["namespaces"], json!(["shop"]));
}

/// A token, and the secret of its line in a users file.
pub(crate) fn new_token(aggregator: &Aggregator) -> (String, String) {
    let made = aggregator.command(&["users", "token"]).unwrap();
    let text = String::from_utf8(made.stdout).unwrap();
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap().trim().to_owned()
    };
    (value("token:"), value("secret:"))
}

/// A request with a bearer token; status and JSON.
pub(crate) fn ask(http: &Http, token: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
    let headers = format!("authorization: Bearer {token}\r\ncontent-type: application/json\r\n");
    let (status, _, body) = exchange(http, method, path, &headers, body);
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

#[test]
fn everybody_s_logs_are_not_shown_to_the_network() {
    let scene = Scene::new("apiopen", Server::shared().unwrap()).unwrap();
    let aggregator =
        Aggregator::prepare(&scene.dir("aggregator"), &setup(&scene, ", auth: none")).unwrap();
    let path = aggregator.config_path();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        text.replace("listen: 127.0.0.1:", "listen: 0.0.0.0:"),
    )
    .unwrap();
    let config = path.display().to_string();
    let checked = aggregator
        .command(&["--check", "--config", &config])
        .unwrap();
    assert!(!checked.status.success());
    let said = String::from_utf8(checked.stderr).unwrap();
    assert!(
        said.contains("web.auth") && said.contains("users"),
        "{said}"
    );
}
