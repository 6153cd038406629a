//! What the layers want to know of requests and answers of reqwest.

use reqwest::{Request, Response};
use resilience_tower::classify::{Class, Classify, HttpClassifier, Verdict};
use resilience_tower::replay::{HttpReplay, Replay};
use resilience_tower::{AsRefused, Error, Stop, hop};

/// How a call under the layers ends.
pub(crate) type Outcome = Result<Response, Error<reqwest::Error>>;

/// What the layers want to know of requests and answers of reqwest: which requests may be repeated
/// and how, and how calls have ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reqwest;

impl Replay<Request> for Reqwest {
    type Kept = Request;

    fn keep(&self, req: Request) -> (Request, Result<Request, Stop>) {
        let permitted = HttpReplay::new().permits(req.method(), req.headers());
        let kept = permitted.and_then(|()| req.try_clone().ok_or(Stop::NotRepeatable));
        (req, kept)
    }

    fn again(&self, kept: &Request) -> Option<Request> {
        kept.try_clone()
    }

    fn number(&self, req: &mut Request, attempt: u32) {
        hop::set_attempt(req.headers_mut(), attempt);
    }
}

impl Classify<Outcome> for Reqwest {
    fn classify(&self, outcome: &Outcome) -> Verdict {
        match outcome {
            Ok(answer) => HttpClassifier::new().judge(answer.status(), answer.headers()),
            Err(error) => match error.as_refused() {
                Some(refused) => Verdict::of_refusal(refused),
                None => Verdict::failure(Class::Unreachable),
            },
        }
    }

    fn mark_final(&self, outcome: &mut Outcome) {
        if let Ok(answer) = outcome {
            hop::forbid_retry(answer.headers_mut());
        }
    }
}

/// The same for the plain functions, around whose calls there is no layer that refuses.
pub(crate) fn judge(outcome: &Result<Response, reqwest::Error>) -> Verdict {
    match outcome {
        Ok(answer) => HttpClassifier::new().judge(answer.status(), answer.headers()),
        Err(_) => Verdict::failure(Class::Unreachable),
    }
}
