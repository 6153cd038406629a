//! `weftway analyze`: every problem of every document, before it runs.

use std::process::ExitCode;

use weft_compile::{MeshOptions, compile_mesh};
use weft_model::identity::TrustDomain;
use weft_model::mesh::Registered;
use weft_resources::{Problem, Severity};

use crate::args::{AnalyzeArgs, AnalyzeFormat, LimitArgs};
use crate::print_line;
use crate::source::Source;

/// Prints the report. The exit code is 1 when there is an error.
pub(crate) fn run(args: &AnalyzeArgs) -> anyhow::Result<ExitCode> {
    let source = Source::new(&args.documents, &LimitArgs::default())?;
    let (problems, remarks) = (source.unreadable(), source.remarks());
    let world = weft_compile::compile(source.set(), source.options(), None);
    // A gateway serves some of the documents, sidecars others, and both some.
    let mesh = MeshOptions::new(TrustDomain::default());
    let mesh = compile_mesh(source.set(), &Registered::default(), &mesh, None);
    let report = &world.report.merge(&mesh.report);
    match args.output {
        AnalyzeFormat::Text => {
            for problem in &problems {
                print_line(problem);
            }
            let remarked: String = remarks.iter().map(|remark| source.render(remark)).collect();
            let text = remarked + &source.render_report(report);
            if !text.is_empty() {
                print_line(text.trim_end());
            }
            let counts = [
                (report.resources.len(), "resource"),
                (report.count(Severity::Error) + problems.len(), "error"),
                (report.count(Severity::Warning) + remarks.len(), "warning"),
                (report.count(Severity::Note), "note"),
            ];
            print_line(&counts.map(counted).join(", "));
        }
        AnalyzeFormat::Json => print_line(&json(report, remarks, &problems)),
    }
    let failed = report.has_errors() || !problems.is_empty();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn counted((count, what): (usize, &str)) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn json(report: &weft_compile::Report, remarks: Vec<Problem>, unreadable: &[String]) -> String {
    let problems: Vec<_> = remarks
        .into_iter()
        .chain(report.problems())
        .map(|problem| {
            serde_json::json!({
                "severity": problem.severity.to_string(),
                "file": &*problem.file,
                "line": problem.at.line,
                "column": problem.at.column,
                "path": problem.path,
                "message": problem.message,
                "fix": problem.fix,
            })
        })
        .collect();
    serde_json::json!({ "problems": problems, "unreadable": unreadable }).to_string()
}
