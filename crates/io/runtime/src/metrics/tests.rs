use super::*;

#[derive(Default)]
struct Worker {
    requests: Counter,
    open: Gauge,
    latency: Histogram,
}

impl Collect for Worker {
    fn collect(&self, sink: &mut Sink) {
        let labels = [("route", "a\"b")];
        sink.counter("requests_total", "Requests.", &labels, self.requests.value());
        sink.gauge("open", "Open.", &[], self.open.value() as f64);
        sink.histogram("latency_seconds", "Latency.", &labels, &self.latency);
    }
}

#[test]
fn workers_add_up() {
    let registry = Registry::new();
    let workers = [Arc::new(Worker::default()), Arc::new(Worker::default())];
    for worker in &workers {
        registry.register(worker.clone());
        worker.requests.add(2);
        worker.latency.observe(Duration::from_micros(500));
        worker.latency.observe(Duration::from_secs(60));
    }
    workers[0].open.inc();
    workers[1].open.dec();
    let text = registry.render();
    for line in [
        "# TYPE requests_total counter",
        "requests_total{route=\"a\\\"b\"} 4",
        "open 0",
        "latency_seconds_bucket{route=\"a\\\"b\",le=\"0.0005\"} 2",
        "latency_seconds_bucket{route=\"a\\\"b\",le=\"0.0025\"} 2",
        "latency_seconds_bucket{route=\"a\\\"b\",le=\"1\"} 2",
        "latency_seconds_bucket{route=\"a\\\"b\",le=\"10\"} 2",
        "latency_seconds_bucket{route=\"a\\\"b\",le=\"+Inf\"} 4",
        "latency_seconds_sum{route=\"a\\\"b\"} 120.001",
        "latency_seconds_count{route=\"a\\\"b\"} 4",
    ] {
        assert!(text.lines().any(|have| have == line), "{line} is missing in\n{text}");
    }
}

#[test]
fn a_dropped_collector_leaves_no_series() {
    let registry = Registry::new();
    let worker: Arc<dyn Collect> = Arc::new(Worker::default());
    registry.register_weak(Arc::downgrade(&worker));
    assert!(registry.render().contains("requests_total"));
    drop(worker);
    assert_eq!(registry.render(), "");
}
