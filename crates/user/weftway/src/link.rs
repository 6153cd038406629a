//! How a member of a mesh is linked to its control plane, as arguments say.

use std::path::Path;

use anyhow::{Context as _, bail};
use weft_link::{ControlPeer, Endpoint, Settings};
use weft_model::id::WorkloadName;
use weft_model::identity::{Identity, TrustDomain};

use crate::args::LinkArgs;

/// The link of that workload to the control plane at `control`.
pub(crate) fn settings(
    workload: &str,
    service_account: &str,
    control: &str,
    args: &LinkArgs,
) -> anyhow::Result<Settings> {
    let trust_domain = TrustDomain::new(&args.trust_domain).context("--trust-domain")?;
    let identity = Identity::new(&trust_domain, namespace(workload)?, service_account)
        .context("--workload and --service-account make no identity")?;
    let endpoint = endpoint(control, args)?;
    let mut settings = Settings::new(WorkloadName::new(workload), identity, endpoint);
    if let Some(folder) = &args.state {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made (see --state)", folder.display()))?;
        settings.state_path = Some(folder.join("state"));
        settings.credentials_path = Some(folder.join("credentials"));
    }
    settings.product_version = env!("CARGO_PKG_VERSION").into();
    Ok(settings)
}

/// The namespace of `NAMESPACE/NAME`.
pub(crate) fn namespace(workload: &str) -> anyhow::Result<&str> {
    match workload.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => Ok(namespace),
        _ => bail!("`{workload}` is not NAMESPACE/NAME (see --workload)"),
    }
}

/// Where the control plane is: a path, or `HOST:PORT` with what proves who it is.
fn endpoint(control: &str, args: &LinkArgs) -> anyhow::Result<Endpoint> {
    if control.contains('/') {
        return Ok(Endpoint::unix(control));
    }
    let (Some(roots), Some(identity)) = (&args.control_roots, &args.control_identity) else {
        bail!(
            "a control plane at {control} needs --control-roots FILE and --control-identity \
             SPIFFE-ID, so that nobody else can take its place"
        );
    };
    let read = |path: &Path, flag: &str| {
        std::fs::read(path)
            .with_context(|| format!("{} cannot be read (see {flag})", path.display()))
    };
    let roots = weft_authority::TrustBundle::from_pem(&read(roots, "--control-roots")?)
        .with_context(|| format!("{} (see --control-roots)", roots.display()))?;
    let token = match &args.token_file {
        Some(path) => {
            let text = String::from_utf8(read(path, "--token-file")?)
                .with_context(|| format!("{} holds no token", path.display()))?;
            Some(text.trim().to_owned())
        }
        None => None,
    };
    let peer = ControlPeer {
        identity: identity.parse().context("--control-identity")?,
        roots: roots.certificates().map(|root| root.der().clone()).collect(),
        token,
    };
    Ok(Endpoint::tcp(control, peer))
}
