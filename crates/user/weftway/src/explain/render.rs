//! Explanations for people.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use weft_admin_api::ExplanationView;
use weft_admin_api::explain::{LeadEndpointView, LeadView, PolicyView, RuleView, SampleView};

use crate::table::table;

/// All of it.
pub(super) fn text(view: &ExplanationView) -> String {
    let mut text = format!("{}\n  arrives {}\n", view.request, view.arrives);
    if let Some(by) = &view.by {
        let _ = writeln!(text, "  says {by}, by generation {}", view.generation);
    }
    if let Some(past) = &view.past {
        text += &self::past(past);
    }
    match view.rules.split_first() {
        Some((first, others)) if first.verdict == super::view::WINS => {
            let _ = writeln!(text, "\ntaken by {}", first.place);
            if !first.rule.is_empty() {
                let _ = writeln!(text, "  {}", first.rule);
            }
            text += &considered("also considered", others);
        }
        // It is not asked for a rule.
        _ if view.refused.is_some() && view.rules.is_empty() => {}
        _ => {
            text += "\nno rule takes it\n";
            text += &considered("nearest", &view.rules);
        }
    }
    for hint in &view.hints {
        let _ = writeln!(text, "\n{hint}");
    }
    if let Some(refused) = &view.refused {
        let _ = writeln!(text, "\nanswered {refused}");
    }
    if !view.policies.is_empty() {
        let _ = writeln!(text, "\npolicies, in order\n{}", policies(&view.policies));
    }
    for lead in &view.leads {
        text += &self::lead(lead);
    }
    if !view.others.is_empty() {
        let _ = writeln!(text, "\nother requests of that id\n{}", others(&view.others));
    }
    for other in &view.otherwise {
        let by = other.by.as_deref().unwrap_or("another instance");
        let _ = writeln!(text, "\n--- {by} sees it otherwise ---\n{}", self::text(other));
    }
    text.trim_end().to_owned()
}

fn others(all: &[SampleView]) -> String {
    let row = |one: &SampleView| {
        let by = one.by.clone().unwrap_or_default();
        let way = if one.direction.is_empty() { "in" } else { &one.direction };
        let status = format!("{} ({})", one.status, one.reason);
        let [tries, millis] = [one.attempts.to_string(), format!("{:.1} ms", one.duration_ms)];
        [by, way.to_owned(), one.request.clone(), status, tries, millis]
    };
    let header = ["SEEN BY", "WAY", "REQUEST", "ANSWER", "TRIES", "TOOK"];
    indented(&table(header, all.iter().map(row)))
}

fn past(past: &SampleView) -> String {
    let SampleView { status, reason, attempts, duration_ms, .. } = past;
    let tries = if *attempts == 1 { "try" } else { "tries" };
    let mut text = format!(
        "\nwhat became of it: {status} ({reason}) after {attempts} {tries} and {duration_ms:.1} ms"
    );
    let to = past.endpoint.map(|endpoint| format!(", last at {endpoint}")).unwrap_or_default();
    let _ = writeln!(text, "{to}");
    for (what, value) in
        [("rule then", &past.route), ("backend then", &past.backend), ("because", &past.detail)]
    {
        if let Some(value) = value {
            let _ = writeln!(text, "  {what}: {value}");
        }
    }
    let _ = writeln!(text, "what would become of it now:");
    text
}

fn considered(title: &str, rules: &[RuleView]) -> String {
    if rules.is_empty() {
        return String::new();
    }
    let row = |rule: &RuleView| [rule.place.clone(), rule.rule.clone(), rule.verdict.clone()];
    let list = table(["RULE", "TAKES", "VERDICT"], rules.iter().map(row));
    format!("\n{title}\n{}\n", indented(&list))
}

fn policies(all: &[PolicyView]) -> String {
    let row = |one: &PolicyView| [one.name.clone(), one.value.clone(), one.source.clone()];
    indented(&table(["POLICY", "VALUE", "FROM"], all.iter().map(row)))
}

fn lead(lead: &LeadView) -> String {
    let share = match (lead.percent, lead.role.as_str()) {
        (Some(percent), _) => format!("{:.4} %", percent).replace(".0000", ""),
        (None, "") => "a share".into(),
        (None, role) => role.into(),
    };
    let mut text = format!("\nto {} ({share})\n{}\n", lead.backend, policies(&lead.calling));
    if let Some(found_by) = &lead.found_by {
        let _ = writeln!(text, "  endpoints: by {found_by}");
    } else if lead.endpoints.is_empty() {
        text += "  endpoints: none\n";
    } else {
        let row = |endpoint: &LeadEndpointView| {
            [
                endpoint.addr.to_string(),
                endpoint.weight.to_string(),
                endpoint.tier.to_string(),
                endpoint.locality.clone().unwrap_or_default(),
                endpoint.identity.clone().unwrap_or_else(|| "plain".into()),
                endpoint.state.clone().unwrap_or_default(),
            ]
        };
        let header = ["ENDPOINT", "WEIGHT", "TIER", "LOCALITY", "IDENTITY", "STATE"];
        let _ = writeln!(text, "{}", indented(&table(header, lead.endpoints.iter().map(row))));
    }
    if !lead.arrival.is_empty() {
        let _ = writeln!(text, "\n  where it arrives\n{}", policies(&lead.arrival));
    }
    for endpoint in &lead.endpoints {
        if let Some(why) = &endpoint.refuses {
            let _ = writeln!(text, "  {} lets it not in: {why}", endpoint.addr);
        }
    }
    text
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
