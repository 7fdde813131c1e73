//! Stands in for the firewall.
use crate::mark::Instance;
use trestle_core::Result;
use trestle_core::kernel::Drift;
use trestle_core::resource::Resource;

pub(crate) struct Firewall;
impl Firewall {
    pub(crate) fn open(_: Instance) -> Result<Self> {
        Ok(Self)
    }
    pub(crate) fn change(
        &mut self,
        _removed: &[&Resource],
        _changed: &[(&Resource, &Resource)],
        _added: &[&Resource],
    ) -> Result<()> {
        Ok(())
    }
    pub(crate) fn restore(&mut self, _: &[&Resource]) -> Result<()> {
        Ok(())
    }
    pub(crate) fn verify(&mut self, _: &[&Resource]) -> Result<Vec<Drift>> {
        Ok(Vec::new())
    }
    pub(crate) fn extra(&mut self, _: &[&Resource]) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}
