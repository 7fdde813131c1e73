//! Taking names and images away, by the rules and in the words of `docker rmi`.

use std::collections::BTreeMap;

use trestle_core::error::{Error, Result};

use super::digest::Digest;
use super::reference::Reference;
use super::store::{Images, Known, State};
use super::unpacked::ImageId;

/// What went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A name, as people write it, of this image.
    Untagged(String, ImageId),
    /// An image.
    Image(ImageId),
    /// A layer that no image has any more.
    Layer(Digest),
}

/// How an image shall be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Whether several names, and containers that don't run, are no obstacle.
    pub force: bool,
    /// Whether images that it was made on top of go too, where they have no name.
    pub parents: bool,
}

/// What went in a sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Names, images and layers.
    pub removed: Vec<Removed>,
    /// Bytes of files of the layers.
    pub reclaimed: u64,
}

impl Images {
    /// Takes away a name, and the image with its last name. Of an image that containers have, removed by force, the
    /// layers stay until the last of these is gone.
    ///
    /// # Errors
    /// `NotFound` and `Conflict`, in Docker's words; nothing is changed then.
    pub fn remove(&self, asked: &str, how: Removal, is_running: &dyn Fn(&str) -> bool) -> Result<Vec<Removed>> {
        Ok(self.remove_and_measure(asked, how, is_running)?.removed)
    }

    /// Removes the images among `chosen` that no container has and that bear no tag; those with tags too, if
    /// `tagged`.
    ///
    /// # Errors
    /// `Internal` if one can't be deleted; those before it are.
    pub fn prune(&self, tagged: bool, chosen: &dyn Fn(&Known) -> bool) -> Result<Pruned> {
        let mut pruned = Pruned::default();
        let how = Removal { force: false, parents: true };
        let in_the_way = |known: &Known| known.has_children && (tagged || known.tags.is_empty());
        for known in self.all().into_iter().filter(|known| !in_the_way(known) && chosen(known)) {
            if !tagged && !known.tags.is_empty() {
                continue;
            }
            let names: Vec<_> = known.tags.iter().chain(&known.digests).map(ToString::to_string).collect();
            let names = if names.is_empty() { vec![known.image.id.to_string()] } else { names };
            for name in names {
                match self.remove_and_measure(&name, how, &|_| true) {
                    Ok(gone) => {
                        pruned.removed.extend(gone.removed);
                        pruned.reclaimed += gone.reclaimed;
                    }
                    Err(error)
                        if matches!(
                            error.kind(),
                            trestle_core::ErrorKind::Conflict | trestle_core::ErrorKind::NotFound
                        ) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(pruned)
    }

    fn remove_and_measure(&self, asked: &str, how: Removal, is_running: &dyn Fn(&str) -> bool) -> Result<Pruned> {
        let (mut removed, layers) = self.change(|state| {
            let holds = self.holds().iter().map(|(id, holders)| (*id, holders.iter().cloned().collect())).collect();
            let mut work = Work { state, holds, how, is_running, removed: Vec::new(), layers: Vec::new() };
            work.remove(asked)?;
            Ok((work.removed, work.layers))
        })?;
        if !removed.iter().any(|gone| matches!(gone, Removed::Image(_))) {
            return Ok(Pruned { removed, reclaimed: 0 });
        }
        self.sweep_configurations()?;
        let swept = self.sweep_layers(layers)?;
        removed.extend(swept.iter().map(|(layer, _)| Removed::Layer(*layer)));
        Ok(Pruned { removed, reclaimed: swept.iter().map(|(_, size)| size).sum() })
    }
}

/// One removal, on a copy of the state that becomes the new one if all goes well.
struct Work<'a> {
    state: &'a mut State,
    holds: BTreeMap<ImageId, Vec<String>>,
    how: Removal,
    is_running: &'a dyn Fn(&str) -> bool,
    removed: Vec<Removed>,
    layers: Vec<Digest>,
}

/// Why an image can't be removed. Only some reasons give way to force.
struct Obstacle {
    yields: bool,
    told: String,
}

impl Work<'_> {
    fn remove(&mut self, asked: &str) -> Result<()> {
        let known = self.state.find(asked)?;
        let id = known.image.id;
        let names: Vec<_> = known.tags.iter().chain(&known.digests).cloned().collect();
        if begins_id(id, asked) {
            if is_one_name(&names) {
                self.check(id, false)?;
                names.into_iter().for_each(|name| self.untag(name, id));
            }
            return self.delete(id);
        }
        if !self.how.force && is_one_name(&names) {
            self.check_last_name(asked, id)?;
        }
        self.untag_asked(asked, id)?;
        // A removal that names stand in the way of is done once the name is gone.
        if self.state.index.names_of(id).is_empty() { self.delete(id) } else { Ok(()) }
    }

    /// The name that was asked for; and those with digests, if it was the last of its repository with a tag.
    fn untag_asked(&mut self, asked: &str, id: ImageId) -> Result<()> {
        let name = asked.parse::<Reference>()?.tagged();
        let name = name.digest().map_or_else(|| name.clone(), |digest| name.at(digest));
        let is_digest = name.digest().is_some();
        self.untag(name.clone(), id);
        let of_repository = self.state.index.names_of(id).into_iter().filter(|other| other.same_repository(&name));
        let (digests, tags): (Vec<_>, Vec<_>) = of_repository.partition(|other| other.digest().is_some());
        if !is_digest && tags.is_empty() {
            digests.into_iter().for_each(|digest| self.untag(digest, id));
        }
        Ok(())
    }

    fn untag(&mut self, name: Reference, id: ImageId) {
        self.state.index.names.remove(&name);
        self.removed.push(Removed::Untagged(name.familiar(), id));
    }

    fn delete(&mut self, id: ImageId) -> Result<()> {
        self.check(id, true)?;
        self.delete_unchecked(id);
        Ok(())
    }

    fn delete_unchecked(&mut self, id: ImageId) {
        self.state.index.names_of(id).into_iter().for_each(|name| self.untag(name, id));
        self.removed.push(Removed::Image(id));
        let parent = self.state.index.images.get(&id).and_then(|entry| entry.parent);
        if self.holds.contains_key(&id) {
            if let Some(entry) = self.state.index.images.get_mut(&id) {
                entry.removed = true;
            }
        } else {
            self.layers.extend(self.state.forget(id));
        }
        if let Some(parent) = parent.filter(|parent| self.how.parents && self.is_of_no_use(*parent)) {
            self.delete_unchecked(parent);
        }
    }

    fn is_of_no_use(&self, parent: ImageId) -> bool {
        self.state.present(parent).is_some()
            && self.state.index.names_of(parent).is_empty()
            && self.state.index.children(parent).next().is_none()
            && !self.holds.contains_key(&parent)
    }

    fn check(&self, id: ImageId, names_count: bool) -> Result<()> {
        match self.obstacle(id, names_count) {
            Some(Obstacle { yields, told }) if !(yields && self.how.force) => {
                let force = if yields { "must be forced" } else { "cannot be forced" };
                Err(Error::conflict(format!("conflict: unable to delete {} ({force}) - {told}", id.short())))
            }
            _ => Ok(()),
        }
    }

    /// The worst of them.
    fn obstacle(&self, id: ImageId, names_count: bool) -> Option<Obstacle> {
        let holders = self.holds.get(&id).into_iter().flatten();
        let (running, stopped): (Vec<_>, Vec<_>) = holders.partition(|container| (self.is_running)(container));
        let by = |kind: &str, container: &str| format!("image is being used by {kind} container {}", short(container));
        if self.state.index.children(id).next().is_some() {
            return Some(Obstacle { yields: false, told: "image has dependent child images".into() });
        }
        if let Some(container) = running.first() {
            return Some(Obstacle { yields: false, told: by("running", container) });
        }
        if names_count && !self.state.index.names_of(id).is_empty() {
            return Some(Obstacle { yields: true, told: "image is referenced in multiple repositories".into() });
        }
        stopped.first().map(|container| Obstacle { yields: true, told: by("stopped", container) })
    }

    /// Without its last name, an image that a container has would be lost from sight.
    fn check_last_name(&self, asked: &str, id: ImageId) -> Result<()> {
        let Some(container) = self.holds.get(&id).and_then(|holders| holders.first()) else {
            return Ok(());
        };
        Err(Error::conflict(format!(
            "conflict: unable to remove repository reference {asked:?} (must force) - container {} is using its referenced image {}",
            short(container),
            id.short()
        )))
    }
}

fn short(container: &str) -> &str {
    container.get(..12).unwrap_or(container)
}

fn begins_id(id: ImageId, asked: &str) -> bool {
    id.to_string().starts_with(asked) || id.hex().starts_with(asked)
}

/// Whether a person would say that it has one name: one with a tag, and digests of the same repository alone.
fn is_one_name(names: &[Reference]) -> bool {
    let tags = names.iter().filter(|name| name.digest().is_none()).count();
    let one_repository = names.iter().all(|name| name.same_repository(&names[0]));
    !names.is_empty() && tags <= 1 && one_repository
}
