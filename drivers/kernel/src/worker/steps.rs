//! Batches of requests that each know what they are for, so that a refusal tells it.

use std::fmt::Display;

use trestle_core::error::Error;
use trestle_core::{Doing, Result, failpoint};

use crate::netlink::{Answer, Refusal, Request, Socket};

/// One request, and for what it is.
pub(super) struct Step<'a> {
    request: Request,
    verb: &'static str,
    of: &'a dyn Display,
    tolerated: &'static [i32],
}

impl<'a> Step<'a> {
    /// `verb` as in "making", of what it is made.
    pub(super) fn new(request: Request, verb: &'static str, of: &'a dyn Display) -> Self {
        Self { request, verb, of, tolerated: &[] }
    }

    /// Refusals with these numbers are as good as success: what was asked for is so already, or can't matter.
    pub(super) fn or(mut self, tolerated: &'static [i32]) -> Self {
        self.tolerated = tolerated;
        self
    }

    fn error(&self, refusal: &Refusal) -> Error {
        refusal.error(self.request.message()).doing(format!("{} {}", self.verb, self.of))
    }

    fn fails(&self, answer: &Answer) -> Option<Error> {
        let refusal = answer.as_ref().err()?;
        (!self.tolerated.contains(&refusal.errno)).then(|| self.error(refusal))
    }
}

/// Takes all steps in one batch; the first failure is the answer.
pub(super) fn set_up(socket: &mut Socket, steps: Vec<Step<'_>>) -> Result<()> {
    match tear_down(socket, steps).into_iter().next() {
        None => Ok(()),
        Some(error) => Err(error),
    }
}

/// Takes all steps in one batch; every failure is told.
pub(super) fn tear_down(socket: &mut Socket, steps: Vec<Step<'_>>) -> Vec<Error> {
    match take(socket, &steps) {
        Err(error) => vec![error],
        Ok(answers) => steps.iter().zip(&answers).filter_map(|(step, answer)| step.fails(answer)).collect(),
    }
}

/// Takes all steps in one batch, and leaves it to the caller what each answer means: `None` for success.
pub(super) fn try_each(socket: &mut Socket, steps: &[Step<'_>]) -> Result<Vec<Option<(i32, Error)>>> {
    let answers = take(socket, steps)?;
    let failures = steps.iter().zip(&answers).map(|(step, answer)| {
        let errno = answer.as_ref().err()?.errno;
        Some((errno, step.fails(answer)?))
    });
    Ok(failures.collect())
}

/// Takes all steps in one batch, and hands over the kernel's answers.
pub(super) fn take(socket: &mut Socket, steps: &[Step<'_>]) -> Result<Vec<Answer>> {
    if steps.is_empty() {
        return Ok(Vec::new());
    }
    let requests: Vec<&Request> = steps.iter().map(|step| &step.request).collect();
    let answers = socket.batch(&requests).doing(|| format!("{} {}", steps[0].verb, steps[0].of))?;
    failpoint!("kernel.batch-taken");
    Ok(answers)
}
