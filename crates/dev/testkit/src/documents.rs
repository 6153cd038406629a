//! Documents that many tests need.

/// An IngressRoute `routes` in namespace `default` on the entry point `web`, without TLS: pairs of
/// a rule and a service with its port, `echo:80`.
pub fn ingress_route(routes: &[(&str, &str)]) -> String {
    let mut text = String::from(
        "apiVersion: traefik.io/v1alpha1\nkind: IngressRoute\nmetadata:\n  name: routes\nspec:\n  \
         entryPoints: [web]\n  routes:\n",
    );
    for (rule, service) in routes {
        text.push_str(&route(rule, service, &[]));
    }
    text
}

/// The same on `websecure`, with TLS by the default certificate.
pub fn secure_ingress_route(routes: &[(&str, &str)]) -> String {
    let text = ingress_route(routes);
    let text = text.replace("name: routes", "name: secure-routes");
    format!("{}  tls: {{}}\n", text.replace("[web]", "[websecure]"))
}

/// An IngressRoute whose only route takes everything to `service` through middlewares, and the
/// middlewares: a name and its spec, indented by two.
pub fn with_middlewares(service: &str, middlewares: &[(&str, &str)]) -> String {
    let names: Vec<&str> = middlewares.iter().map(|(name, _)| *name).collect();
    let mut text = ingress_route(&[]);
    text.push_str(&route("PathPrefix(`/`)", service, &names));
    for (name, spec) in middlewares {
        text.push_str(&middleware(name, spec));
    }
    text
}

/// A Middleware as a document of its own, with the separator in front.
pub fn middleware(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata:\n  name: {name}\nspec:\n{}\n",
        spec.trim_end()
    )
}

/// An EndpointSlice of a service, with the separator in front.
pub fn endpoint_slice(service: &str, addrs: &[std::net::SocketAddr]) -> String {
    // A slice has one port for all its addresses, so each address gets a slice of its own.
    let slice = |(index, addr): (usize, &std::net::SocketAddr)| {
        format!(
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: \
             {service}-{index}\n  labels:\n    kubernetes.io/service-name: {service}\n\
             addressType: IPv4\nports:\n- name: http\n  port: {}\nendpoints:\n- addresses: [{}]\n",
            addr.port(),
            addr.ip()
        )
    };
    addrs.iter().enumerate().map(slice).collect()
}

/// A Service with one port named `http`, with the separator in front.
pub fn service(name: &str, port: u16) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  ports:\n  - name: \
         http\n    port: {port}\n    targetPort: http\n"
    )
}

/// A PEM text as the lines of a YAML block, indented by four but for the first.
pub fn pem_block(pem: &str) -> String {
    pem.trim_end().replace('\n', "\n    ")
}

/// A router of Traefik's own files that leads everything to the service `main`, and the services
/// (indented by four).
pub fn file_provider(services: &str) -> String {
    format!(
        "http:\n  routers:\n    all:\n      rule: PathPrefix(`/`)\n      service: main\n  services:\n{services}"
    )
}

/// A service of Traefik's own files with these servers and weights; `more` goes into its load
/// balancer (indented by eight).
pub fn servers(name: &str, more: &str, servers: &[(std::net::SocketAddr, u32)]) -> String {
    let mut text = format!("    {name}:\n      loadBalancer:\n{more}        servers:\n");
    for (addr, weight) in servers {
        text.push_str(&format!("        - url: http://{addr}\n          weight: {weight}\n"));
    }
    text
}

fn route(rule: &str, service: &str, middlewares: &[&str]) -> String {
    let (name, port) = service.rsplit_once(':').expect("a service with its port");
    let mut text = format!("  - match: {rule}\n    kind: Rule\n");
    if !middlewares.is_empty() {
        text.push_str("    middlewares:\n");
        for name in middlewares {
            text.push_str(&format!("    - name: {name}\n"));
        }
    }
    text.push_str(&format!("    services:\n    - name: {name}\n      port: {port}\n"));
    text
}
