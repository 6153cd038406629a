//! Which Ingresses are ours.

use std::collections::HashMap;
use std::sync::Arc;

use weft_resources::kubernetes::Ingress;
use weft_resources::{Kind, Resource};

use crate::context::{Context, Output};
use crate::remark::Place;
use crate::report::Verdict;

/// Controllers that we stand in for.
const CONTROLLERS: [&str; 2] = ["weftway.io/ingress-controller", "traefik.io/ingress-controller"];

/// Marks the class of Ingresses that name none.
const DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";

/// The class before there was a field for it.
const OLD: &str = "kubernetes.io/ingress.class";

/// All classes.
pub(super) struct Classes<'a> {
    /// The controller of each.
    by_name: HashMap<&'a str, &'a str>,
    /// The controller of the default one.
    default: Option<(&'a str, &'a str)>,
}

// === impl Classes ===

impl<'a> Classes<'a> {
    /// Collects them.
    pub(super) fn new(context: &Context<'a>) -> Self {
        let mut classes = Self { by_name: HashMap::new(), default: None };
        for resource in context.resources {
            let Kind::IngressClass(class) = &resource.body else { continue };
            classes.by_name.insert(resource.name(), &class.controller);
            if resource.annotation(DEFAULT) == Some("true") {
                classes.default = Some((resource.name(), &class.controller));
            }
        }
        classes
    }

    /// Whether an Ingress is ours; otherwise that is said.
    pub(super) fn is_ours(
        &self,
        resource: &Arc<Resource>,
        ingress: &Ingress,
        out: &mut Output,
    ) -> bool {
        let named = ingress
            .class
            .as_deref()
            .or_else(|| resource.annotation(OLD).filter(|name| !name.is_empty()));
        let path = match ingress.class {
            Some(_) => "spec.ingressClassName".into(),
            None => format!("metadata.annotations[{OLD}]"),
        };
        let at = resource.find_annotation(OLD).map(|annotation| annotation.at);
        let at = at.filter(|_| ingress.class.is_none()).unwrap_or_default();
        let place = Place::new(resource, at, &path);
        let why = match (named, self.default) {
            (Some(name), _) => match self.by_name.get(name) {
                Some(controller) if CONTROLLERS.contains(controller) => return true,
                Some(controller) => {
                    format!("the class `{name}` belongs to the controller `{controller}`")
                }
                None => {
                    let message = format!(
                        "the IngressClass `{name}` is not in these files; the Ingress is served \
                         all the same"
                    );
                    place.note(out, message);
                    return true;
                }
            },
            (None, Some((_, controller))) if CONTROLLERS.contains(&controller) => return true,
            (None, Some((name, controller))) => format!(
                "it names no class, and the default class `{name}` belongs to the controller \
                 `{controller}`"
            ),
            (None, None) if self.by_name.is_empty() => return true,
            (None, None) => "it names no class, and no class is the default".into(),
        };
        place.note(out, format!("not served here: {why}"));
        out.verdict(&resource.key, Verdict::Ignored);
        false
    }
}
