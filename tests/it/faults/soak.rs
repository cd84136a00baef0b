//! A random mix of faults, drawn from a seed, for the duration that `scripts/soak` sets; only a few faults in the
//! quick set.

use std::time::{Duration, Instant};

use super::{CONSUMING, Held, IN_FLIGHT, NO_SESSION, QUEUE, Scene, full, prefetch};
use crate::support::proxy::{Accept, Confirms, Cut};
use crate::support::{Broker, Daemon, Proxy, Role, SOON, Settings, until};

/// What may happen.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Reset(Option<Role>),
    Close(Option<Role>),
    CloseByBroker,
    Cut(Cut),
    BlackHole,
    Silent,
    Refused,
    Delay,
    HoldConfirms,
    SwallowConfirms,
    KillBroker,
    StopApp,
    Suspend,
    Alarm,
    KillDaemon,
    Terminate,
}

impl Fault {
    /// The next one. What takes a restart of the broker is rarer.
    fn draw(random: &mut fastrand::Rng) -> Self {
        let role = random.choice([None, Some(Role::Consume), Some(Role::Publish)]);
        let role = role.unwrap();
        match random.u32(0..60) {
            0..8 => Self::Reset(role),
            8..12 => Self::Close(role),
            12..18 => Self::CloseByBroker,
            18..34 => Self::Cut(Cut {
                role,
                after: random.u64(2..400),
                torn: random.bool(),
                reset: random.bool(),
            }),
            34..36 => Self::BlackHole,
            36..38 => Self::Silent,
            38..40 => Self::Refused,
            40..43 => Self::Delay,
            43..46 => Self::HoldConfirms,
            46..49 => Self::SwallowConfirms,
            49 => Self::KillBroker,
            50 => Self::StopApp,
            51..53 => Self::Suspend,
            53..55 => Self::Alarm,
            55..58 => Self::KillDaemon,
            _ => Self::Terminate,
        }
    }
}

/// The daemon that suffers, one beside it that only dies and restarts, and what was seen so far.
struct Soak<'a> {
    broker: &'a Broker,
    scene: Scene,
    /// Of the other daemon, which has a proxy of its own: for the witness alone.
    settings: Settings,
    proxy: Proxy,
    other: Option<Daemon>,
    again: Vec<Duration>,
}

impl Soak<'_> {
    fn other(&self) -> Daemon {
        Daemon::start(&self.settings)
    }

    /// Makes the fault, and ends it if that takes more than [`Proxy::heal`]; returns whether it cost the
    /// session.
    fn make(&mut self, fault: Fault, pause: Duration) -> bool {
        match fault {
            Fault::Reset(role) => self.scene.proxy.reset(role) > 0,
            Fault::Close(role) => self.scene.proxy.close(role) > 0,
            Fault::CloseByBroker => self.broker.close_connections(&self.scene.vhost) > 0,
            Fault::Cut(cut) => {
                let before = self.scene.proxy.cuts();
                self.scene.proxy.set(|faults| faults.cut = Some(cut));
                until(SOON, "the cut", || {
                    (self.scene.proxy.cuts() > before).then_some(())
                });
                true
            }
            Fault::BlackHole => {
                self.scene.proxy.black_hole();
                self.scene
                    .wait_for_status(NO_SESSION, Duration::from_secs(8));
                std::thread::sleep(pause);
                true
            }
            Fault::Silent => self.unreachable(Accept::Silent, pause),
            Fault::Refused => self.unreachable(Accept::Refuse, pause),
            Fault::Delay => {
                self.scene.proxy.set(|faults| faults.delay = pause / 10);
                std::thread::sleep(pause);
                false
            }
            Fault::HoldConfirms => {
                self.scene
                    .proxy
                    .set(|faults| faults.confirms = Confirms::Hold);
                std::thread::sleep(pause.min(Duration::from_secs(1)));
                false
            }
            Fault::SwallowConfirms => {
                self.scene
                    .proxy
                    .set(|faults| faults.confirms = Confirms::Swallow);
                self.scene.wait_for_status(NO_SESSION, SOON);
                true
            }
            Fault::KillBroker => {
                self.broker.kill();
                std::thread::sleep(pause);
                self.broker.start();
                true
            }
            Fault::StopApp => {
                self.broker.stop_app();
                std::thread::sleep(pause);
                self.broker.start_app();
                true
            }
            Fault::Suspend => {
                self.broker.suspend();
                self.scene
                    .wait_for_status(NO_SESSION, Duration::from_secs(8));
                std::thread::sleep(pause);
                self.broker.resume();
                true
            }
            Fault::Alarm => {
                self.broker.memory_alarm(true);
                std::thread::sleep(pause);
                self.broker.memory_alarm(false);
                false
            }
            Fault::KillDaemon => self.restart_other("KILL"),
            Fault::Terminate => self.restart_other("TERM"),
        }
    }

    fn unreachable(&mut self, how: Accept, pause: Duration) -> bool {
        self.scene.proxy.accept(how);
        self.scene.proxy.reset(None);
        std::thread::sleep(pause);
        true
    }

    fn restart_other(&mut self, signal: &str) -> bool {
        if let Some(mut other) = self.other.take() {
            other.signal(signal);
            other.wait(Duration::from_secs(35));
        }
        self.other = Some(self.other());
        false
    }

    /// Makes a fault, ends it, and waits until all is as before.
    fn suffer(&mut self, fault: Fault, random: &mut fastrand::Rng) {
        let pause = Duration::from_millis(random.u64(200..3000));
        self.scene.skip();
        let before = self.scene.told;
        let ends_session = self.make(fault, pause);
        self.scene.proxy.heal();
        let healed = Instant::now();
        if ends_session {
            let limit = Duration::from_secs(35);
            self.scene.told = before;
            self.scene.wait_for_status(NO_SESSION, limit);
            self.scene.wait_for_status(CONSUMING, limit);
            self.again.push(healed.elapsed());
        }
        self.scene
            .load
            .wait_for_answers(20, Duration::from_secs(60));
        self.broker
            .wait_for_depth(&self.scene.vhost, QUEUE, Duration::from_secs(35), |depth| {
                depth.consumers >= 2
            });
    }

    /// Ends of sessions and of daemons, each of which may have cost a window of duplicates.
    fn ends(&self, rounds: u64) -> u64 {
        let told = self.scene.notify.all();
        let attempts = told.iter().filter(|one| one.contains("STATUS=connecting"));
        // The other daemon ends when the broker does, and by faults of its own.
        2 * (attempts.count() as u64 + rounds)
    }
}

#[test]
fn a_random_mix_of_faults() {
    let variable = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    let seed = variable("FIBRPC_SOAK_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let minutes = variable("FIBRPC_SOAK_MINUTES").unwrap_or(0);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let broker = Broker::exclusive();
    let kind = random.choice(["classic", "quorum"]).unwrap();
    let hasty = |settings: Settings| {
        settings
            .set("queue.type", kind)
            .set("broker.heartbeat", "2s")
            .set("broker.connect_timeout", "2s")
            .set("broker.confirm_timeout", "3s")
            .set("broker.reconnect.max", "2s")
    };
    let scene = Scene::with(&broker, hasty);
    let proxy = Proxy::new(broker.port());
    let settings = Settings::at(&proxy.url(&scene.vhost)).set("server.prefetch", prefetch());
    let mut soak = Soak {
        broker: &broker,
        scene,
        settings: hasty(settings),
        proxy,
        other: None,
        again: Vec::new(),
    };
    soak.other = Some(soak.other());
    // RabbitMQ 3.10 forgets quorum queues that were made shortly before it is killed.
    soak.suffer(Fault::StopApp, &mut random);
    let end = Instant::now() + Duration::from_secs(if full() { minutes * 60 } else { 15 });
    let mut held = None;
    let mut rounds = 1;
    while Instant::now() < end || rounds < 3 {
        let fault = Fault::draw(&mut random);
        let began = Instant::now();
        soak.suffer(fault, &mut random);
        rounds += 1;
        if full() {
            eprintln!("{rounds:5} {:6.1?} {fault:?}", began.elapsed());
        }
        // The first few sessions fill the allocator's pools.
        if rounds == 3 {
            held = Some(Held::by(&soak.scene.daemon));
        }
    }
    let (before, ends) = (held.unwrap(), soak.ends(rounds));
    before.assert_returned(&soak.scene.daemon);
    let now = Held::by(&soak.scene.daemon);
    soak.again.sort_unstable();
    let at = |share: usize| {
        soak.again
            .get(soak.again.len().saturating_sub(1) * share / 100)
    };
    println!("seed {seed}, faults {rounds}, ends of sessions at most {ends}");
    println!("consuming again after: p50 {:?}, max {:?}", at(50), at(100));
    println!("held at the start: {before:?}");
    println!("held at the end:   {now:?}");
    let Soak {
        mut scene,
        other,
        proxy,
        ..
    } = soak;
    scene.faults = ends;
    let report = scene.finish(&broker);
    proxy.assert_clean();
    println!("{report} ({} duplicates allowed)", ends * IN_FLIGHT);
    drop(other);
}
