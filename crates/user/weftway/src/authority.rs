//! The authority of a control plane: its sealed file, and what the operator supplies for it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use weft_admin_api::{IntermediateRequest, IssuerRequest, PemText};
use weft_authority::{
    Authority, Intermediate, InvalidSupply, Issuer, Lifetimes, Pem, Secret, Supply,
};
use weft_controlplane::{Keeper, Opened};
use weft_model::identity::TrustDomain;
use weft_runtime::time;

use crate::args::{AuthorityArgs, SupplyArgs};

/// Bytes of a key that seals the authority's file.
const KEY_BYTES: usize = 32;

/// Opens the authority in a folder, or makes one there, and sees that it is as the arguments say.
///
/// # Errors
///
/// When a file cannot be used, or the authority is another one than the arguments say.
pub(crate) async fn open(
    state: &Path,
    trust_domain: &TrustDomain,
    args: &AuthorityArgs,
) -> anyhow::Result<Keeper> {
    let secret = secret(state, args)?;
    let supplied = supplied(&args.supply)?;
    let lifetimes = Lifetimes { leaf: args.certificate_lifetime, ..Lifetimes::default() };
    match Keeper::open(&state.join("authority"), &secret).await? {
        Opened::Missing(vacancy) => {
            let authority = first(trust_domain, lifetimes, supplied.as_ref())?;
            Ok(vacancy.fill(authority).await?)
        }
        Opened::Found(keeper) => {
            let authority = keeper.authority();
            let ours = authority.trust_domain();
            ensure!(
                ours == trust_domain,
                "the authority in {} is for the trust domain {ours}, not {trust_domain}: name that \
                 (--trust-domain), or use another folder (--state)",
                state.display()
            );
            if let Some(supplied) = &supplied {
                check_root(&authority, supplied)?;
            }
            set_up(&keeper, &authority, lifetimes, supplied.as_ref()).await?;
            Ok(*keeper)
        }
    }
}

/// The files of an authority that the operator supplies; none when no root is named.
///
/// # Errors
///
/// When one cannot be read.
pub(crate) fn supplied(args: &SupplyArgs) -> anyhow::Result<Option<IssuerRequest>> {
    let Some(root) = &args.root else { return Ok(None) };
    let intermediate = args.intermediate.as_deref().zip(args.intermediate_key.as_deref());
    Ok(Some(IssuerRequest {
        root: pem_file(root)?,
        root_key: args.root_key.as_deref().map(pem_file).transpose()?,
        intermediate: intermediate.map(|(chain, key)| intermediate_of(chain, key)).transpose()?,
    }))
}

/// The files of an intermediate that the operator supplies.
///
/// # Errors
///
/// When one cannot be read.
pub(crate) fn intermediate_of(chain: &Path, key: &Path) -> anyhow::Result<IntermediateRequest> {
    Ok(IntermediateRequest { chain: pem_file(chain)?, key: pem_file(key)? })
}

/// What takes over in an authority.
///
/// # Errors
///
/// [`InvalidSupply`].
pub(crate) fn issuer(
    request: &IssuerRequest,
    trust_domain: &TrustDomain,
    lifetimes: &Lifetimes,
) -> Result<Issuer, InvalidSupply> {
    let intermediate = request.intermediate.as_ref();
    let supply = Supply {
        root: pem(&request.root),
        root_key: request.root_key.as_ref().map(pem),
        intermediate: intermediate.map(|found| (pem(&found.chain), pem(&found.key))),
    };
    Issuer::from_pem(&supply, trust_domain, lifetimes, time::wall())
}

/// What takes over under the root that signs in an authority.
///
/// # Errors
///
/// [`InvalidSupply`].
pub(crate) fn intermediate(
    request: &IntermediateRequest,
    authority: &Authority,
) -> Result<Intermediate, InvalidSupply> {
    let root = authority.rotation().signing().root();
    let (chain, key) = (pem(&request.chain), pem(&request.key));
    Intermediate::from_pem(chain, key, root, authority.trust_domain(), time::wall())
}

/// The root of what is supplied, by its certificate alone: its key may be kept elsewhere by now.
///
/// # Errors
///
/// [`InvalidSupply`].
pub(crate) fn root_of(request: &IssuerRequest) -> Result<weft_authority::Root, InvalidSupply> {
    weft_authority::Root::from_pem(pem(&request.root), None, time::wall())
}

fn first(
    trust_domain: &TrustDomain,
    lifetimes: Lifetimes,
    supplied: Option<&IssuerRequest>,
) -> anyhow::Result<Authority> {
    let issuer = match supplied {
        Some(request) => issuer(request, trust_domain, &lifetimes)?,
        None => Issuer::generate(trust_domain, &lifetimes, time::wall()),
    };
    Authority::new(trust_domain.clone(), lifetimes, issuer).context("--certificate-lifetime")
}

/// Whether the root that the operator names is the one that signs, or the other one of a rotation.
fn check_root(authority: &Authority, supplied: &IssuerRequest) -> anyhow::Result<()> {
    let named = root_of(supplied)?.certificate().fingerprint();
    let rotation = authority.rotation();
    ensure!(
        rotation.bundle().contains(&named),
        "{} is not the root of this mesh, which is {}: `weftway certs rotate --root` lets it take \
         over while calls go on; start without --root until then",
        supplied.root.name,
        rotation.signing().root().certificate().fingerprint().short()
    );
    Ok(())
}

/// Brings an authority that was there before to what the arguments say now.
async fn set_up(
    keeper: &Keeper,
    before: &Authority,
    lifetimes: Lifetimes,
    supplied: Option<&IssuerRequest>,
) -> anyhow::Result<()> {
    if *before.lifetimes() != lifetimes {
        let set = keeper.set_up(|authority| authority.set_lifetimes(lifetimes)).await;
        set.context("--certificate-lifetime")?;
        tracing::info!(lifetime = ?lifetimes.leaf, "certificates of workloads hold so long now");
    }
    let signing = before.rotation().signing();
    let is_signing = |supplied: &IssuerRequest| {
        let named = root_of(supplied).map(|root| root.certificate().fingerprint());
        named == Ok(signing.root().certificate().fingerprint())
    };
    let request = supplied.filter(|request| is_signing(request));
    let Some(request) = request.and_then(|request| request.intermediate.as_ref()) else {
        return Ok(());
    };
    let next = intermediate(request, before)?;
    if next.certificate() == signing.intermediate().certificate() {
        return Ok(());
    }
    // Proxies trust roots, and nobody can be stranded under the same one.
    let replace = |authority: &mut Authority| {
        authority.rotation_mut().replace_intermediate(next, &[], time::wall())
    };
    keeper.set_up(replace).await.context("--intermediate")?;
    tracing::info!(file = request.chain.name, "another intermediate signs");
    Ok(())
}

/// What seals the authority's file; a key is made when nothing is named and there is none yet.
fn secret(state: &Path, args: &AuthorityArgs) -> anyhow::Result<Secret> {
    if let Some(path) = &args.passphrase_file {
        let context = || format!("{} (see --passphrase-file)", path.display());
        let text = fs::read_to_string(path).with_context(context)?;
        return Secret::passphrase(text.lines().next().unwrap_or_default()).with_context(context);
    }
    let own = state.join("authority.key");
    let path = args.key_file.as_ref().unwrap_or(&own);
    if args.key_file.is_none() && !own.exists() {
        let bytes: [u8; KEY_BYTES] = crate::fleet::random()?;
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&own)
            .and_then(|mut file| file.write_all(&bytes))
            .with_context(|| format!("{} cannot be written", own.display()))?;
    }
    let bytes = fs::read(path)
        .with_context(|| format!("{} cannot be read (see --key-file)", path.display()))?;
    Secret::key_file(&bytes).with_context(|| format!("{} (see --key-file)", path.display()))
}

fn pem_file(path: &Path) -> anyhow::Result<PemText> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).with_context(|| format!("{name} cannot be read"))?;
    Ok(PemText { name, text })
}

fn pem(text: &PemText) -> Pem<'_> {
    Pem { name: &text.name, text: text.text.as_bytes() }
}
