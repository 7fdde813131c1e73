//! What bears our mark and stands in no plan, removed.

use std::collections::BTreeSet;
use std::path::Path;

use trestle_core::error::Error;
use trestle_core::resource::Resource;
use trestle_core::{Doing, Plan, Result};

use super::Worker;
use crate::netlink::message;

impl Worker {
    /// See [`trestle_core::kernel::Kernel::sweep`]. Links are cut off here and deleted by the reaper, as always.
    pub(crate) fn sweep(&mut self, keep: &[Plan]) -> Result<Vec<String>> {
        let kept: Vec<&Resource> = keep.iter().flat_map(Plan::resources).collect();
        let firewall: Vec<&Resource> = kept.iter().copied().filter(|it| it.is_firewall()).collect();
        let (mut swept, mut errors) = (Vec::new(), Vec::new());
        match self.sweep_firewall(&firewall) {
            Ok(told) => swept.extend(told),
            Err(error) => errors.push(error),
        }
        swept.extend(self.sweep_links(&kept, &mut errors)?);
        swept.extend(self.sweep_namespaces(&kept, &mut errors)?);
        Error::several(errors).map_or(Ok(swept), Err)
    }

    /// The table is made anew without what is too many; with nothing in it, it goes.
    fn sweep_firewall(&mut self, kept: &[&Resource]) -> Result<Vec<String>> {
        let mut swept = self.firewall.extra(kept)?;
        if kept.is_empty() && swept.is_empty() && self.firewall.exists()? {
            swept.push("firewall table".into());
        }
        if !swept.is_empty() {
            self.firewall.restore(kept)?;
        }
        Ok(swept)
    }

    fn sweep_links(&mut self, kept: &[&Resource], errors: &mut Vec<Error>) -> Result<Vec<String>> {
        let names: BTreeSet<&str> = kept
            .iter()
            .filter_map(|resource| match resource {
                Resource::Bridge(it) => Some(it.name.as_str()),
                Resource::Veth(it) => Some(it.name.as_str()),
                _ => None,
            })
            .collect();
        let expected = self.expected.clone();
        let _changing = expected.changing();
        let links = self.links()?;
        let stray: Vec<_> =
            links.iter().filter(|it| it.is_live(self.instance) && !names.contains(it.name.as_str())).collect();
        let requests: Vec<_> = stray.iter().map(|link| message::cut_off(link.index, self.instance)).collect();
        let answers = self.host.batch(&requests.iter().collect::<Vec<_>>()).doing(|| "cutting off stray links")?;
        let mut swept = Vec::new();
        for ((link, request), answer) in stray.iter().zip(&requests).zip(answers) {
            match answer {
                Err(refusal) if refusal.errno != libc::ENODEV => {
                    errors.push(refusal.error(request.message()).doing(format!("cutting off link {}", link.name)));
                }
                _ => swept.push(format!("link {}", link.name)),
            }
        }
        Ok(swept)
    }

    fn sweep_namespaces(&mut self, kept: &[&Resource], errors: &mut Vec<Error>) -> Result<Vec<String>> {
        let paths: BTreeSet<&Path> = kept
            .iter()
            .filter_map(|resource| if let Resource::Netns(it) = resource { Some(it.path.as_path()) } else { None })
            .collect();
        let mut swept = Vec::new();
        for path in self.namespaces.all()?.into_iter().filter(|path| !paths.contains(path.as_path())) {
            match self.namespaces.remove(&path).doing(|| format!("removing the namespace {}", path.display())) {
                Ok(()) => swept.push(format!("namespace {}", path.display())),
                Err(error) => errors.push(error),
            }
        }
        Ok(swept)
    }
}
