//! `/images/create?fromImage=…`: an image from its registry.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::response::Response;

use trestle_engine::event::Noun;
use trestle_engine::image::{Credentials, Digest, Pull, Reference, Tell};

use crate::docker::app::App;
use crate::docker::error::Refusal;
use crate::docker::progress;
use crate::docker::query::Query;

pub(super) async fn pull(app: &App, image: &str, query: &Query, headers: &HeaderMap) -> Result<Response, Refusal> {
    let name = name(image, query.text("tag"))?;
    let header = headers.get("x-registry-auth").map(|value| String::from_utf8_lossy(value.as_bytes()));
    let credentials = Credentials::from_header(&header.unwrap_or_default())?;
    let pull = Pull { name: name.clone(), platform: super::transfer::platform(query)?, credentials };
    let engine = app.engine.clone();
    progress::answer(app, move |tell| async move {
        let tell: Tell = Arc::new(move |step| {
            if progress::written(&step).is_some_and(|line| tell.send(line).is_err()) {
                tracing::trace!("nobody reads how far a pull is any more");
            }
        });
        engine.images().pull(pull, tell).await?;
        let told = name.familiar();
        engine.tell(Noun::Image, "pull", told.clone(), [("name", told)]);
        Ok(())
    })
    .await
}

/// What `tag` is may be a tag or a digest.
fn name(image: &str, tag: Option<&str>) -> Result<Reference, Refusal> {
    let name: Reference = image.trim_end_matches(':').parse()?;
    match tag {
        Some(tag) if tag.contains(':') => Ok(name.at(tag.parse::<Digest>()?)),
        Some(tag) => Ok(name.tag_as(tag)?),
        None if name.tag().is_none() && name.digest().is_none() => Err(Refusal::absent(
            "this daemon does not pull all tags of a repository at once: name the one that is wanted",
        )),
        None => Ok(name),
    }
}
