//! Containers come and go while others look for them.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::world::{Asker, NO_SUCH_NAME, play};

const COMING: u8 = 200;
const CLIENTS: usize = 8;

#[test]
fn two_hundred_containers_come_and_go_and_no_answer_is_lost_or_wrong() {
    play(|world| {
        world.trestle("network create --internal --subnet 10.77.0.0/16 crowd");
        let stays = world.sandbox("stays", "--network crowd");
        let clients: Vec<_> = (0..CLIENTS).map(|it| world.sandbox(&format!("client{it}"), "--network crowd")).collect();
        let (over, found, missed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for (number, client) in clients.iter().enumerate() {
                let (over, found, missed, stays) = (&over, &found, &missed, &stays);
                scope.spawn(move || {
                    client.namespace.run(|| {
                        let asker = Asker::new();
                        let mut turn = number * 25;
                        while !over.load(Ordering::SeqCst) {
                            turn += 1;
                            let said = asker.ask("stays");
                            assert!(stays.addresses.contains(&said.addresses[0].into()), "{said:?}");
                            let one = u8::try_from(turn % usize::from(COMING)).unwrap();
                            let said = asker.ask(&format!("one{one}"));
                            match said.addresses.as_slice() {
                                [] => {
                                    assert_eq!(said.code, NO_SUCH_NAME);
                                    missed.fetch_add(1, Ordering::SeqCst);
                                }
                                [address] => {
                                    assert_eq!(*address, place(one), "one{one}");
                                    found.fetch_add(1, Ordering::SeqCst);
                                }
                                several => panic!("one{one}: {several:?}"),
                            }
                        }
                    });
                });
            }
            let halves = [0..COMING / 2, COMING / 2..COMING];
            let coming = halves.map(|numbers| {
                scope.spawn(move || {
                    for one in numbers {
                        world.trestle(&format!("sandbox create one{one}"));
                        world.trestle(&format!("connect -q --ip {} crowd one{one}", place(one)));
                        let said = clients_ask(world, &format!("one{one}"));
                        assert_eq!(said, [place(one)], "it is there when the command is done");
                        world.trestle(&format!("sandbox rm one{one}"));
                    }
                })
            });
            coming.into_iter().for_each(|it| it.join().unwrap());
            over.store(true, Ordering::SeqCst);
        });
        assert!(missed.load(Ordering::SeqCst) > 0, "{} were found", found.load(Ordering::SeqCst));
    });
}

fn place(one: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 1, one)
}

fn clients_ask(world: &crate::world::World, name: &str) -> Vec<Ipv4Addr> {
    world.known("client0").namespace.run(|| Asker::new().ask(name).addresses)
}
