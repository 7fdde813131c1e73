//! Holds requests against the document: a query parameter or a body that it does not know for an operation is refused,
//! not passed over.

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::{MatchedPath, Query, Request};
use axum::http::{Method, StatusCode};
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::{OpenApi, RefOr};

use super::error::Refusal;
use super::extract;

/// What each operation takes, by path and method.
#[derive(Debug)]
pub(super) struct Taken(HashMap<String, Vec<(Method, Takes)>>);

/// What an operation takes besides the names in its path.
#[derive(Debug, Default)]
struct Takes {
    parameters: Vec<String>,
    body: bool,
}

impl Taken {
    /// As the document tells.
    pub(super) fn of(document: &OpenApi) -> Self {
        let operations = |item: &PathItem| {
            let methods = [
                (Method::GET, &item.get),
                (Method::POST, &item.post),
                (Method::PUT, &item.put),
                (Method::PATCH, &item.patch),
                (Method::DELETE, &item.delete),
            ];
            let operations = methods.into_iter();
            operations.filter_map(|(method, operation)| Some((method, Takes::of(operation.as_ref()?)))).collect()
        };
        Self(document.paths.paths.iter().map(|(path, item)| (path.clone(), operations(item))).collect())
    }

    /// Refuses what the operation does not take. Most requests have neither query nor a body out of place, and pay
    /// for no look-up.
    pub(super) async fn check(&self, request: &mut Request) -> Result<(), Refusal> {
        let has_query = request.uri().query().is_some_and(|query| !query.is_empty());
        let has_body = !hyper::body::Body::is_end_stream(request.body());
        if !has_query && !has_body {
            return Ok(());
        }
        let Some(takes) = self.takes(request) else { return Ok(()) };
        if has_query {
            takes.check_query(request)?;
        }
        if has_body && !takes.body {
            let body = extract::collect(std::mem::replace(request.body_mut(), Body::empty())).await?;
            if !matches!(body.trim_ascii(), b"" | b"{}") {
                let message = format!("body: {} takes none", request.method());
                return Err(Refusal::new(StatusCode::BAD_REQUEST, format!("{message} at this path; leave it out")));
            }
        }
        Ok(())
    }

    /// `None` for paths and methods that nobody serves: the router has an answer for these.
    fn takes(&self, request: &Request) -> Option<&Takes> {
        let path = request.extensions().get::<MatchedPath>()?;
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        self.0.get(path.as_str())?.iter().find_map(|(served, takes)| (served == method).then_some(takes))
    }
}

impl Takes {
    fn of(operation: &Operation) -> Self {
        let name = |parameter: &RefOr<Parameter>| match parameter {
            RefOr::T(it) => (it.parameter_in == ParameterIn::Query).then(|| it.name.clone()),
            RefOr::Ref(_) => None,
        };
        let parameters = operation.parameters.iter().flatten().filter_map(name).collect();
        Self { parameters, body: operation.request_body.is_some() }
    }

    fn check_query(&self, request: &Request) -> Result<(), Refusal> {
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(request.uri()) else {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "query: it is not KEY=VALUE&KEY=VALUE"));
        };
        let known = |key: &String| self.parameters.contains(key);
        let Some((stranger, _)) = pairs.iter().find(|(key, _)| !known(key)) else { return Ok(()) };
        let takes = match self.parameters.as_slice() {
            [] => "this path takes no parameters".to_owned(),
            known => format!("known are {}", known.join(", ")),
        };
        Err(Refusal::new(StatusCode::BAD_REQUEST, format!("query: {stranger:?} is not known; {takes}")))
    }
}
