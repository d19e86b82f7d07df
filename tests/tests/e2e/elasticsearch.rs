//! The same path to the Elasticsearch versions.

use std::time::Duration;

use tests::{
    scene::Scene,
    server::{Product, Server},
    writer::write_event,
};

const LIMIT: Duration = Duration::from_secs(50);

/// Writes, restarts the aggregator in the middle, and counts every line.
fn smoke(product: Product, name: &str, plain_index: bool) {
    let server = Server::start(product).unwrap();
    let mut scene = Scene::new(name, &server).unwrap();
    let mut setup = scene.aggregator_setup();
    if plain_index {
        // Without data streams: a plain index named by date.
        setup = setup.output("index", &format!("'plain-{name}-%Y.%m.%d'"));
    }
    let mut aggregator =
        tests::aggregator::Aggregator::start(&scene.dir("aggregator"), &setup).unwrap();
    let _agent = scene.start_agent(&aggregator.url()).unwrap();
    let mut container = scene.kubelet.container("shop", "pod-0", "c").unwrap();
    for n in 0..200 {
        write_event(&mut container, n).unwrap();
    }
    let index = if plain_index {
        format!("plain-{name}-*")
    } else {
        scene.data_stream()
    };
    scene.documents.wait_count(&index, "*", 200, LIMIT).unwrap();
    aggregator.kill().unwrap();
    for n in 200..300 {
        write_event(&mut container, n).unwrap();
    }
    aggregator.start_again().unwrap();
    scene.documents.wait_count(&index, "*", 300, LIMIT).unwrap();
    let hits = scene.documents.all(&index).unwrap();
    tests::verdict::Verdict::of_containers(&hits, [&container]).assert_clean();
}

#[test]
fn elasticsearch_8_takes_every_line_once() {
    smoke(Product::Elasticsearch8, "eseight", false);
}

#[test]
fn elasticsearch_9_takes_every_line_once() {
    smoke(Product::Elasticsearch9, "esnine", false);
}

#[test]
fn elasticsearch_7_takes_every_line_once_into_a_plain_index() {
    smoke(Product::Elasticsearch7, "esseven", true);
}
