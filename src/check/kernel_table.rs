//! The kernel's table kept as it is desired: what is known of it, what in it is ours, what it
//! refused. Generic over the kernel, so that its errors can be tested without one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::engine::{Changes, CheckEngine, Live};
use crate::core::config::model::global::{FlushOnStop, Global, LvsTimeouts};
use crate::ipvs::client::{IpvsError, IpvsTable};
use crate::ipvs::model::{Destinations, Entry, ServiceKey, Table};
use crate::ipvs::plan::{Operation, plan};
use crate::ipvs::refusal;

const TCP: u8 = 6;
/// Services whose destinations one step of a look compares.
const STEP: usize = 64;
/// Operations that are handed to the kernel together: some batches.
const AT_ONCE: usize = 512;

/// A table and what we know of it.
#[derive(Debug)]
pub struct KernelTable<T> {
    client: T,
    /// What the kernel has; `None` when it could not be asked.
    known: Option<Table>,
    /// The services that we have made or taken over.
    owned: BTreeSet<ServiceKey>,
    /// What stays refused is told once.
    refused: BTreeSet<String>,
    /// Not all that is desired could be done.
    unfinished: bool,
    /// A look under way: whose destinations are still to be compared.
    walk: Option<VecDeque<ServiceKey>>,
}

/// How far a look has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// There is another step to do, soon.
    More,
    /// The whole table has been seen.
    Done,
}

impl<T: IpvsTable> KernelTable<T> {
    /// Takes the table over: cleared first with `lvs_flush`, else as a predecessor has left it.
    pub fn take_over(client: T, global: &Global) -> Self {
        let mut table = Self {
            client,
            known: None,
            owned: BTreeSet::new(),
            refused: BTreeSet::new(),
            unfinished: false,
            walk: None,
        };
        if global.lvs_flush
            && let Err(error) = table.client.flush()
        {
            tracing::error!("cannot clear the table: {error}");
        }
        table.set_timeouts(global.lvs_timeouts.as_ref());
        table.read();
        table
    }

    /// What the kernel has, as far as is known.
    pub fn known(&self) -> Option<&Table> {
        self.known.as_ref()
    }

    /// `lvs_timeouts`.
    pub fn set_timeouts(&mut self, timeouts: Option<&LvsTimeouts>) {
        if let Some(timeouts) = timeouts
            && let Err(error) = self.client.set_timeouts(timeouts)
        {
            tracing::error!("cannot set lvs_timeouts: {error}");
        }
    }

    /// Brings the kernel to what the engine wants by now. A change within some services costs no
    /// more than these services.
    pub fn follow(&mut self, engine: &mut CheckEngine) {
        match engine.take_changes() {
            Changes::Nothing => {}
            Changes::All => self.program(engine.desired()),
            Changes::Services(places) => {
                if !self.program_part(engine.desired_of(&places)) {
                    self.program(engine.desired());
                }
            }
        }
    }

    /// Brings the kernel to `desired`. What it refuses is told, and tried again after the next look.
    pub fn program(&mut self, desired: Table) {
        // When the kernel had something else than we thought, a second plan is made of what it has.
        let again = self.program_once(desired).and_then(|desired| self.program_once(desired));
        self.unfinished = again.is_some();
    }

    /// Gives back what could not all be done.
    fn program_once(&mut self, desired: Table) -> Option<Table> {
        self.know();
        let Some(known) = &self.known else { return Some(desired) };
        let operations = plan(&desired, known, &self.owned);
        let done = carry_out(&mut self.client, operations, &mut self.refused);
        let wanted: Vec<ServiceKey> = desired.keys().copied().collect();
        let failed = self.remember(done, desired);
        if failed.is_none() {
            self.owned.clear();
            self.refused.clear();
        } else {
            // Ours are those that are wanted, and those that were ours and may still be there.
            let known = &self.known;
            let there = |key: &ServiceKey| known.as_ref().is_none_or(|t| t.contains_key(key));
            self.owned.retain(there);
        }
        self.owned.extend(wanted);
        failed
    }

    /// The same for some of the services, all of them owned; whether all was done.
    fn program_part(&mut self, part: Table) -> bool {
        self.know();
        let Some(known) = &self.known else { return false };
        let owned = BTreeSet::new();
        let operations = plan(&part, known, &owned);
        let done = carry_out(&mut self.client, operations, &mut self.refused);
        self.remember(done, part).is_none()
    }

    /// A plan made from a guess could do harm: without knowledge there is none.
    fn know(&mut self) {
        if self.known.is_none() {
            self.read();
        }
    }

    /// A plan for `desired` has been carried out; that comes back if not all of it was.
    fn remember(&mut self, done: Done, desired: Table) -> Option<Table> {
        match done {
            Done::Nothing => None,
            Done::InPart => {
                self.read();
                Some(desired)
            }
            Done::All { removed } => {
                if let Some(known) = &mut self.known {
                    for key in removed {
                        known.remove(&key);
                    }
                    known.extend(desired);
                }
                None
            }
        }
    }

    /// Looks for what others have changed, and mends it: one step of a walk over the table, so that
    /// a large one does not keep everything else waiting.
    pub fn look(&mut self, desired: impl FnOnce() -> Table) -> Look {
        let changed = self.walk_on().unwrap_or_else(|error| {
            told(&mut self.refused, &error);
            self.known = None;
            self.walk = None;
            self.unfinished = true;
            false
        });
        let look = if self.walk.is_none() { Look::Done } else { Look::More };
        if changed {
            tracing::warn!("IPVS: the table was changed by someone else, mending it");
        }
        if changed || (self.unfinished && look == Look::Done) {
            self.program(desired());
        }
        look
    }

    /// Compares the next part with the kernel; whether something of ours has changed.
    fn walk_on(&mut self) -> Result<bool, IpvsError> {
        let Some(known) = &mut self.known else {
            self.known = Some(self.client.table()?);
            self.unfinished = true;
            return Ok(false);
        };
        let mut changed = BTreeSet::new();
        let walk = match &mut self.walk {
            Some(walk) => walk,
            None => {
                let services: BTreeMap<_, _> = self.client.services()?.into_iter().collect();
                known.retain(|key, _| {
                    let stays = services.contains_key(key);
                    if !stays {
                        changed.insert(*key);
                    }
                    stays
                });
                for (key, service) in &services {
                    let empty =
                        Entry { service: service.clone(), destinations: Destinations::new() };
                    let entry = known.entry(*key).or_insert(empty);
                    if entry.service != *service {
                        entry.service.clone_from(service);
                        changed.insert(*key);
                    }
                }
                self.walk.insert(services.into_keys().collect())
            }
        };
        for _ in 0..STEP {
            let Some(key) = walk.pop_front() else { break };
            let found = self.client.destinations(&key)?;
            if let Some(entry) = known.get_mut(&key)
                && entry.destinations != found
            {
                entry.destinations = found;
                changed.insert(key);
            }
        }
        if walk.is_empty() {
            self.walk = None;
        }
        Ok(changed.iter().any(|key| self.owned.contains(key)))
    }

    /// Live connections of the destinations of some services. TCP counts what is established; of
    /// others the kernel does not know.
    pub fn live(&mut self, services: &[ServiceKey]) -> Result<Live, IpvsError> {
        let mut live = Live::new();
        for service in services {
            let tcp = matches!(service, ServiceKey::Address { protocol: TCP, .. });
            for (key, connections) in self.client.connections(service)? {
                let others = if tcp { 0 } else { connections.inactive };
                let count = u64::from(connections.active) + u64::from(others);
                live.insert((*service, key), count);
            }
        }
        Ok(live)
    }

    /// What is left behind at the end.
    pub fn clear(&mut self, desired: &Table, how: FlushOnStop) {
        let mut ours: BTreeSet<ServiceKey> = desired.keys().copied().collect();
        // Also what the kernel has refused to remove so far.
        ours.extend(std::mem::take(&mut self.owned));
        let results = match how {
            FlushOnStop::WholeTable => vec![self.client.flush()],
            // A service takes its destinations along: one request each, in batches.
            FlushOnStop::OurServices | FlushOnStop::VirtualServers => {
                let removals: Vec<Operation> =
                    ours.iter().map(|key| Operation::RemoveService { key: *key }).collect();
                self.client.apply(&removals)
            }
        };
        for error in results.into_iter().filter_map(Result::err) {
            tracing::error!("cannot clear the table: {error}");
        }
    }

    fn read(&mut self) {
        self.known = match self.client.table() {
            Ok(table) => Some(table),
            Err(error) => {
                told(&mut self.refused, &error);
                None
            }
        };
    }
}

/// What became of a plan.
enum Done {
    /// There was nothing to do.
    Nothing,
    /// The kernel has done it all.
    All { removed: Vec<ServiceKey> },
    /// The kernel has refused something.
    InPart,
}

/// Has the kernel carry a plan out. What is refused is told once.
fn carry_out(
    client: &mut impl IpvsTable,
    mut operations: impl Iterator<Item = Operation>,
    refused: &mut BTreeSet<String>,
) -> Done {
    let (mut removed, mut missing) = (Vec::new(), BTreeSet::new());
    let (mut any, mut failed) = (false, false);
    let mut some = Vec::new();
    loop {
        some.clear();
        some.extend(operations.by_ref().take(AT_ONCE));
        if some.is_empty() {
            break;
        }
        any = true;
        let results = client.apply(&some);
        failed |= results.iter().any(Result::is_err);
        for line in refusal::lines(&some, &results, &mut missing) {
            if refused.insert(line.clone()) {
                tracing::error!("{line}");
            }
        }
        removed.extend(some.iter().filter_map(|operation| match operation {
            Operation::RemoveService { key } => Some(*key),
            Operation::AddService { .. }
            | Operation::SetService { .. }
            | Operation::AddDestination { .. }
            | Operation::SetDestination { .. }
            | Operation::RemoveDestination { .. } => None,
        }));
    }
    match (any, failed) {
        (false, _) => Done::Nothing,
        (true, true) => Done::InPart,
        (true, false) => Done::All { removed },
    }
}

fn told(refused: &mut BTreeSet<String>, error: &IpvsError) {
    let line = format!("cannot read the table: {error}");
    if refused.insert(line.clone()) {
        tracing::error!("{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::engine::tests::service;
    use crate::check::marks::Marks;
    use crate::check::virtual_server::{ServerView, entry, service_keys};
    use crate::core::config::model::Family;
    use crate::core::config::model::check::CheckConfig;
    use crate::ipvs::fake::FakeKernel;

    fn desired(servers: u8) -> Table {
        let config = service(servers);
        let key = service_keys(&config, &CheckConfig::default(), &Marks::default())[0];
        let views = vec![ServerView { up: true, weight: 1 }; usize::from(servers)];
        Table::from([(key, entry(&config, &key, &views, true))])
    }

    fn mark(mark: u32) -> (ServiceKey, crate::ipvs::model::Entry) {
        let entry = desired(1).into_values().next().unwrap();
        (ServiceKey::Fwmark { mark, family: Family::Inet }, entry)
    }

    fn over(kernel: FakeKernel) -> KernelTable<FakeKernel> {
        KernelTable::take_over(kernel, &Global::default())
    }

    #[test]
    fn what_a_predecessor_left_is_adopted_without_a_touch() {
        let mut table = over(FakeKernel { table: desired(3), ..FakeKernel::default() });
        table.program(desired(3));
        assert_eq!(table.client.log, []);
        table.program(desired(2));
        assert_eq!(table.client.log.len(), 1);
        assert_eq!(table.client.table, desired(2));
    }

    #[test]
    fn lvs_flush_clears_also_what_is_not_ours() {
        let global = Global { lvs_flush: true, ..Global::default() };
        let kernel = FakeKernel { table: Table::from([mark(9)]), ..FakeKernel::default() };
        let mut table = KernelTable::take_over(kernel, &global);
        table.program(desired(1));
        assert_eq!(table.client.table, desired(1));
    }

    #[test]
    fn an_unreadable_table_is_not_taken_for_an_empty_one() {
        let kernel = FakeKernel { table: desired(3), unreadable: 3, ..FakeKernel::default() };
        let mut table = over(kernel);
        assert!(table.known().is_none());
        table.program(desired(3));
        assert_eq!(table.client.log, [], "nothing is planned from a guess");
        assert_eq!(table.look(|| desired(3)), Look::Done);
        assert_eq!(table.client.log, []);
        assert_eq!(table.known(), Some(&desired(3)));
    }

    #[test]
    fn what_others_change_in_our_part_is_mended_and_theirs_is_left_alone() {
        let mut table = over(FakeKernel::default());
        table.program(desired(2));
        let (key, foreign) = mark(9);
        table.client.table = Table::from([(key, foreign.clone())]);
        assert_eq!(table.look(|| desired(2)), Look::Done);
        let mut expected = desired(2);
        expected.insert(key, foreign.clone());
        assert_eq!(table.client.table, expected);
        table.clear(&desired(2), FlushOnStop::OurServices);
        assert_eq!(table.client.table, Table::from([(key, foreign)]));
    }

    #[test]
    fn a_service_whose_removal_was_refused_is_removed_by_the_next_plan() {
        let mut table = over(FakeKernel::default());
        let mut both = desired(1);
        both.extend([mark(7)]);
        table.program(both);
        table.client.refuse = Some(mark(7).0);
        table.program(desired(1));
        assert!(table.client.table.contains_key(&mark(7).0));
        table.client.refuse = None;
        assert_eq!(table.look(|| desired(1)), Look::Done);
        assert_eq!(table.client.table, desired(1));
    }

    fn wide(services: u32) -> Table {
        (1..=services).map(mark).collect()
    }

    #[test]
    fn a_look_goes_over_a_large_table_in_steps_and_finds_what_changes_under_way() {
        let desired = wide(200);
        let mut table = over(FakeKernel::default());
        table.program(desired.clone());
        let made = table.client.log.len();
        assert_eq!(table.look(|| unreachable!()), Look::More);
        // One already seen, one not yet seen: the second is found now, the first by the next look.
        for number in [1, 200] {
            table.client.table.get_mut(&mark(number).0).unwrap().destinations.clear();
        }
        let mut steps = 1;
        while table.look(|| desired.clone()) == Look::More {
            steps += 1;
        }
        assert_eq!((steps, table.client.log.len()), (3, made + 1));
        assert!(!table.client.table[&mark(200).0].destinations.is_empty());
        while table.look(|| desired.clone()) == Look::More {}
        assert_eq!(table.client.table, desired);
        assert_eq!(table.client.log.len(), made + 2);
    }

    #[test]
    fn a_plan_of_several_pieces_is_carried_out_and_remembered_as_one() {
        let mut table = over(FakeKernel::default());
        for services in [1000, 200] {
            let desired = wide(services);
            table.program(desired.clone());
            assert_eq!(table.client.table, desired);
            assert_eq!(table.known(), Some(&desired));
        }
        let is_service = |made: &Operation| matches!(made, Operation::AddService { .. });
        let (services, others) = table.client.log.split_at(1000);
        assert!(services.iter().all(is_service) && !others.iter().any(is_service));
        assert_eq!(others.len(), 1000 + 800);
    }

    #[test]
    fn a_whole_table_that_was_cleared_is_back_after_the_first_step() {
        let desired = wide(200);
        let mut table = over(FakeKernel::default());
        table.program(desired.clone());
        table.client.table.clear();
        table.look(|| desired.clone());
        assert_eq!(table.client.table, desired);
    }

    #[test]
    fn a_refused_part_leads_to_a_whole_plan_of_what_is_there() {
        let desired = wide(2);
        let mut table = over(FakeKernel::default());
        table.program(desired.clone());
        // Somebody has removed the service: its destinations cannot be added one by one.
        table.client.table.remove(&mark(1).0);
        let mut entry = mark(1).1;
        entry.destinations.values_mut().for_each(|found| found.weight = 7);
        assert!(!table.program_part(Table::from([(mark(1).0, entry.clone())])));
        let desired = Table::from([(mark(1).0, entry), mark(2)]);
        table.program(desired.clone());
        assert_eq!(table.client.table, desired);
    }
}
