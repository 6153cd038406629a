//! `weftway explain`: what would become of a request and why, by files or by a proxy that runs.

mod render;
pub(crate) mod view;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use weft_admin_api::ExplanationView;
use weft_compile::MeshOptions;
use weft_explain::{Question, Standpoint};
use weft_model::identity::TrustDomain;
use weft_model::mesh::Registered;
use weft_runtime::worker;

use crate::args::{ExplainArgs, LimitArgs, ListFormat};
use crate::ask::{self, Asked};
use crate::offline::{self, Stage};
use crate::source::Source;
use crate::{eprint_line, print_line};

/// Prints the explanation; the exit code is 1 where no rule takes the request or it is refused.
pub(crate) fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let view = match args.documents.files.is_empty() {
        true => worker::block_on(by_proxy(args)).context("the runtime cannot be started")??,
        false => by_files(args)?,
    };
    match args.output {
        ListFormat::Table => print_line(&render::text(&view)),
        ListFormat::Json => print_line(&serde_json::to_string_pretty(&view)?),
    }
    let is_served =
        view.refused.is_none() && view.rules.first().is_some_and(|rule| rule.verdict == view::WINS);
    Ok(if is_served { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks a proxy or a gateway that runs: it answers by what it serves, with its own view of
/// endpoints.
async fn by_proxy(args: &ExplainArgs) -> anyhow::Result<ExplanationView> {
    let asked = match (&args.id, &args.request) {
        (Some(id), _) => Asked::Id(id.clone()),
        (None, Some(request)) => {
            // What is wrong with it is better told here.
            Question::parse(request, args.headers.iter().map(String::as_str))?;
            Asked::Request { request: request.clone(), headers: args.headers.clone() }
        }
        (None, None) => bail!("say which request, or name one of the access log with --id"),
    };
    let (view, silent) = ask::explain(&args.at, &asked).await?;
    for why in silent {
        eprint_line(&format!("warning: {why}"));
    }
    Ok(view)
}

/// Compiles the files, and asks what comes out.
fn by_files(args: &ExplainArgs) -> anyhow::Result<ExplanationView> {
    let Some(request) = &args.request else {
        bail!("files know no past requests: say which request to explain, without --id");
    };
    let question = Question::parse(request, args.headers.iter().map(String::as_str))?;
    let source = Source::new(&args.documents, &LimitArgs::default())?;
    let (snapshot, standpoint) = match &args.at.from {
        None => {
            let world = weft_compile::compile(source.set(), source.options(), None);
            (world.snapshot, Standpoint::Gateway)
        }
        Some(from) => {
            let options = MeshOptions::new(TrustDomain::default());
            let stage = Stage::new(source.set(), &Registered::default(), &options);
            let (namespace, workload) = offline::caller(from);
            let snapshot = stage.snapshot(namespace, workload, &[question.head.host()]);
            let domain = options.domain.clone();
            (snapshot, Standpoint::Workload { namespace: namespace.into(), domain })
        }
    };
    let explanation = weft_explain::explain(&snapshot, &standpoint, &question);
    Ok(view::explanation(&question, &snapshot, &explanation, None))
}
