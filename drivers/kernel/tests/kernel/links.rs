//! Links, addresses and routes on the real kernel.

use trestle_core::kernel::Kernel;

use crate::host::{kernel, netns, on_a_host, reaches, with_sandboxes};

#[test]
fn sandboxes_on_one_bridge_reach_each_other_and_the_host() {
    on_a_host(async || {
        let kernel = kernel();
        with_sandboxes(&kernel, 2).await;
        for address in ["10.0.0.3", "fd00:1::3", "10.0.0.1", "fd00:1::1", "127.0.0.1", "::1"] {
            assert!(reaches(&netns(2), address), "{address}");
        }
        let plan = crate::host::network().then(&crate::host::room(2)).then(&crate::host::endpoint(2));
        assert_eq!(kernel.verify(&plan).await.unwrap(), []);
    });
}
