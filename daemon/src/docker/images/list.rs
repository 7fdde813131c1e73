//! `/images/json`: all images, filtered.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use std::time::SystemTime;

use regex::Regex;
use trestle_engine::image::{Images, Known, Reference};

use crate::docker::app::App;
use crate::docker::error::Refusal;
use crate::docker::filters::Filters;
use crate::docker::query::Query;
use crate::docker::timestamp;
use crate::docker::version::ApiVersion;

/// What images are filtered by.
const FILTERS: [&str; 7] = ["dangling", "label", "label!", "before", "since", "until", "reference"];

pub(super) async fn list(State(app): State<App>, query: Query, spoken: ApiVersion) -> Result<Json<Value>, Refusal> {
    let filters = query.filters(&FILTERS)?;
    let images = app.engine.images();
    let choice = Choice::read(&filters, images, app.engine.clock().now())?;
    let all = query.flag("all");
    let shown =
        images.all().into_iter().filter(|known| all || !is_intermediate(known)).filter_map(|known| choice.take(known));
    Ok(Json(shown.map(|known| summary(&known, spoken, -1)).collect()))
}

/// An image as lists tell it. `containers` is how many have it, -1 if that was not counted.
pub fn summary(known: &Known, spoken: ApiVersion, containers: i64) -> Value {
    let image = &known.image;
    let created = image.created().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let names = |names: &[Reference]| names.iter().map(Reference::familiar).collect::<Vec<_>>();
    let (mut tags, mut digests) = (names(&known.tags), names(&known.digests));
    if !spoken.since(43) && tags.is_empty() && digests.is_empty() {
        tags = vec!["<none>:<none>".into()];
        digests = vec!["<none>@<none>".into()];
    }
    let labels = &image.configuration.config.labels;
    let mut told = json!({
        "Id": image.id,
        "ParentId": known.parent.map(|parent| parent.to_string()).unwrap_or_default(),
        "RepoTags": tags,
        "RepoDigests": digests,
        "Created": created.map_or(0, |created| created.as_secs()),
        "Size": image.size(),
        "SharedSize": -1,
        // Go tells a map that was never made as null.
        "Labels": (!labels.is_empty()).then_some(labels),
        "Containers": containers,
    });
    if !spoken.since(44) {
        told["VirtualSize"] = json!(image.size());
    }
    told
}

/// One that others were made on top of, and that has no name.
fn is_intermediate(known: &Known) -> bool {
    known.has_children && known.tags.is_empty() && known.digests.is_empty()
}

/// Which images are asked for.
struct Choice<'a> {
    filters: &'a Filters,
    dangling: Option<bool>,
    before: Option<SystemTime>,
    since: Option<SystemTime>,
    until: Option<SystemTime>,
    patterns: Vec<Regex>,
}

impl<'a> Choice<'a> {
    fn read(filters: &'a Filters, images: &Images, now: SystemTime) -> Result<Self, Refusal> {
        let created = |key: &str| {
            let mut found = filters.values(key).map(|asked| Ok::<_, Refusal>(images.find(asked)?.created()));
            found.next().transpose().map(Option::flatten)
        };
        let until = filters.values("until").map(|text| timestamp::read("until", text, now)).next().transpose()?;
        Ok(Self {
            filters,
            dangling: filters.flag("dangling")?,
            before: created("before")?,
            since: created("since")?,
            until,
            patterns: filters.values("reference").map(pattern).collect::<Result<_, _>>()?,
        })
    }

    /// The image with those of its names that are asked for, if it is one of those asked for.
    fn take(&self, mut known: Known) -> Option<Known> {
        let created = known.image.created();
        let older =
            |limit: Option<SystemTime>| limit.is_none_or(|limit| created.is_some_and(|created| created < limit));
        let newer = self.since.is_none_or(|limit| created.is_some_and(|created| created > limit));
        let dangling = known.tags.is_empty();
        let fits = self.dangling.is_none_or(|wanted| wanted == dangling)
            && older(self.before)
            && older(self.until)
            && newer
            && self.filters.labels(&known.image.configuration.config.labels);
        if !self.patterns.is_empty() {
            let matches = |text: &str| self.patterns.iter().any(|pattern| pattern.is_match(text));
            let named = |name: &Reference| matches(&name.familiar()) || matches(&name.familiar_name());
            known.tags.retain(&named);
            known.digests.retain(&named);
        }
        let is_named = self.patterns.is_empty() || !known.tags.is_empty() || !known.digests.is_empty();
        (fits && is_named).then_some(known)
    }
}

/// What matches names as a shell matches files: `*` and `?` stop at a slash.
fn pattern(text: &str) -> Result<Regex, Refusal> {
    let mut expression = String::from("^");
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '*' => expression.push_str("[^/]*"),
            '?' => expression.push_str("[^/]"),
            '[' | ']' | '-' => expression.push(letter),
            '\\' => expression.push_str(&regex::escape(&letters.next().map(String::from).unwrap_or_default())),
            other => expression.push_str(&regex::escape(&other.to_string())),
        }
    }
    expression.push('$');
    Regex::new(&expression).map_err(|_| Refusal::invalid(format!("invalid filter 'reference={text}'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_files_do_in_a_shell() {
        for (text, name, fits) in [
            ("busy*", "busybox", true),
            ("busy*:1.?", "busybox:1.2", true),
            ("*", "example.com/app", false),
            ("*/*", "example.com/app", true),
            ("b[a-u]sybox", "busybox", true),
            ("busy.ox", "busybox", false),
        ] {
            assert_eq!(pattern(text).unwrap().is_match(name), fits, "{text} {name}");
        }
        assert_eq!(pattern("[").unwrap_err().status.as_u16(), 400);
    }
}
