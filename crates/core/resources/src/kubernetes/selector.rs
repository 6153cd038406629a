//! Label selectors.

use crate::read::Reader;

/// Labels as they are written. As a selector they ask for all of them, and for nothing when there
/// are none.
pub type Labels = Box<[(Box<str>, Box<str>)]>;

/// A label selector (meta v1): every requirement must hold; none at all selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector {
    /// Requirements, those of `matchLabels` included.
    pub requirements: Vec<Requirement>,
}

/// A requirement on one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Name of the label.
    pub key: Box<str>,
    /// What must hold.
    pub operator: Operator,
}

/// What must hold of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operator {
    /// It is there with one of these values.
    In(Vec<Box<str>>),
    /// It is absent, or has another value.
    NotIn(Vec<Box<str>>),
    /// It is there.
    Exists,
    /// It is absent.
    DoesNotExist,
}

// === impl LabelSelector ===

impl LabelSelector {
    /// Whether labels satisfy every requirement.
    pub fn is_match(&self, labels: &[(Box<str>, Box<str>)]) -> bool {
        self.requirements.iter().all(|requirement| {
            let value =
                labels.iter().find(|(key, _)| *key == requirement.key).map(|(_, value)| value);
            match (&requirement.operator, value) {
                (Operator::In(values), Some(value)) => values.contains(value),
                (Operator::NotIn(values), Some(value)) => !values.contains(value),
                (Operator::Exists, value) => value.is_some(),
                (Operator::DoesNotExist | Operator::NotIn(_), None) => true,
                (Operator::In(_), None) | (Operator::DoesNotExist, Some(_)) => false,
            }
        })
    }

    /// Reads a selector.
    pub(crate) fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let labels = reader.take("matchLabels").map(|field| field.text_map()).unwrap_or_default();
        let mut requirements: Vec<Requirement> = labels
            .into_iter()
            .map(|(key, value)| Requirement { key, operator: Operator::In(vec![value]) })
            .collect();
        let errors = reader.sink().error_count();
        requirements.extend(reader.list("matchExpressions", |item| item.nested(expression)));
        // A requirement that is lost would select more than the user wants.
        (reader.sink().error_count() == errors).then_some(Self { requirements })
    }
}

fn expression(reader: &Reader<'_, '_>) -> Option<Requirement> {
    let values = reader.strings("values");
    let choices = [
        ("In", Operator::In(values.clone())),
        ("NotIn", Operator::NotIn(values)),
        ("Exists", Operator::Exists),
        ("DoesNotExist", Operator::DoesNotExist),
    ];
    let key = reader.require_string("key");
    let operator = reader.require("operator")?.choice(&choices)?;
    Some(Requirement { key: key?, operator })
}
