//! Certificates of listeners, and what is asked of clients.

use std::sync::Arc;

use weft_model::listener::{Certificate, ClientAuth, TlsOptions};
use weft_resources::Resource;
use weft_resources::gateway_api::ObjectRef;
use weft_resources::gateway_api::gateway::{FrontendValidation, Protocol};

use super::{Fate, Site, Terminate};
use crate::context::Output;
use crate::gateway_api::authority;
use crate::gateway_api::objects::Objects;
use crate::remark::{Fix, Place};

/// Finds the certificates of a listener that ends TLS; without any it is broken.
pub(super) fn settle(objects: &Objects<'_>, site: &mut Site<'_>, out: &mut Output) {
    let Some(tls) = site.listener.tls.as_ref().filter(|tls| !tls.passthrough) else { return };
    let mut certificates: Vec<Arc<Certificate>> = Vec::new();
    for (index, reference) in tls.certificates.iter().enumerate() {
        match certificate(objects, site.owner, reference) {
            Ok(found) => certificates.push(found),
            Err((message, fix)) => {
                let field = format!("tls.certificateRefs[{index}]");
                site.error_fixed_by(out, reference.at, &field, message, fix);
            }
        }
    }
    let mut options = TlsOptions::modern();
    if site.listener.protocol.value == Protocol::Tls {
        options.alpn.clear();
    }
    let auth = client_auth(objects, site, out);
    match auth {
        Ok(auth) if !certificates.is_empty() => {
            options.client_auth = auth;
            site.tls = Some(Terminate { certificates, options: Arc::new(options) });
        }
        Ok(_) => site.fate = Fate::Broken("no certificate of it can be used".into()),
        Err(reason) => site.fate = Fate::Broken(reason),
    }
}

/// The certificate of a Secret that `referrer` names.
///
/// # Errors
///
/// Why it cannot be used, and what to do about it.
pub(in crate::gateway_api) fn certificate(
    objects: &Objects<'_>,
    referrer: &Arc<Resource>,
    reference: &ObjectRef,
) -> Result<Arc<Certificate>, (String, Option<Fix>)> {
    if !reference.is("", "Secret") {
        let message = format!("certificates are not read from a {}", reference.kind);
        return Err((message, Some("name a Secret".into())));
    }
    if !objects.permits(referrer, reference) {
        let message = format!("no ReferenceGrant allows {} to refer to {reference}", referrer.key);
        return Err((message, None));
    }
    let namespace = reference.namespace_or(referrer.namespace());
    let certificate = objects.ctx.certificate(namespace, &reference.name);
    certificate.map_err(|error| (error.to_string(), error.fix()))
}

/// What is asked of clients on the listener's port.
fn client_auth(
    objects: &Objects<'_>,
    site: &Site<'_>,
    out: &mut Output,
) -> Result<ClientAuth, String> {
    let (resource, gateway) = site.gateway;
    let own = gateway.frontend_ports.iter().find(|(port, _)| *port == site.listener.port);
    let validation = match own {
        Some((_, validation)) => validation.as_ref(),
        None => gateway.frontend.as_ref(),
    };
    let Some(validation) = validation else { return Ok(ClientAuth::None) };
    let roots = roots(objects, resource, validation, out);
    if validation.insecure_fallback {
        return Ok(ClientAuth::Request);
    }
    match roots {
        Some(roots) => Ok(ClientAuth::RequireAndVerify(roots)),
        None => Err("client certificates cannot be verified: no authority can be used".into()),
    }
}

fn roots(
    objects: &Objects<'_>,
    gateway: &Arc<Resource>,
    validation: &FrontendValidation,
    out: &mut Output,
) -> Option<Arc<[u8]>> {
    let mut pem = Vec::new();
    for reference in &validation.authorities {
        match authority::pem(objects, gateway, reference) {
            Ok(found) => {
                pem.extend_from_slice(found);
                pem.push(b'\n');
            }
            Err(message) => {
                Place::new(gateway, reference.at, "spec.tls.frontend").error(out, message);
            }
        }
    }
    (!pem.is_empty()).then(|| pem.into())
}
