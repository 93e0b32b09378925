//! The kernel's table kept as it is desired: what is known of it, what in it is ours, what it
//! refused. Generic over the kernel, so that its errors can be tested without one.

use std::collections::BTreeSet;

use crate::core::config::model::global::{FlushOnStop, Global, LvsTimeouts};
use crate::ipvs::client::{IpvsError, IpvsTable};
use crate::ipvs::model::{ServiceKey, Table};
use crate::ipvs::plan::{Operation, plan};

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
}

impl<T: IpvsTable> KernelTable<T> {
    /// Takes the table over: cleared first with `lvs_flush`, else as a predecessor has left it.
    pub fn take_over(client: T, global: &Global) -> Self {
        let mut table =
            Self { client, known: None, owned: BTreeSet::new(), refused: BTreeSet::new() };
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

    /// Brings the kernel to `desired`. What it refuses is told, and tried again at the next call.
    pub fn program(&mut self, desired: &Table) {
        // When the kernel had something else than we thought, a second plan is made of what it has.
        for _ in 0..2 {
            if self.attempt(desired) {
                return;
            }
        }
    }

    /// One plan carried out; whether all of it was.
    fn attempt(&mut self, desired: &Table) -> bool {
        if self.known.is_none() {
            self.read();
        }
        // A plan made from a guess could do harm.
        let Some(known) = &mut self.known else { return false };
        let wanted: BTreeSet<ServiceKey> = desired.keys().copied().collect();
        let operations = plan(desired, known, &self.owned);
        if operations.is_empty() {
            self.owned = wanted;
            return true;
        }
        let results = self.client.apply(&operations);
        let mut failed = false;
        for (operation, result) in operations.iter().zip(results) {
            let Err(error) = result else { continue };
            failed = true;
            let line = format!("{operation:?}: {error}");
            if self.refused.insert(line.clone()) {
                tracing::error!("{line}");
            }
        }
        if failed {
            self.read();
            // Ours are those that are wanted, and those that were ours and may still be there.
            let known = &self.known;
            let there = |key: &ServiceKey| known.as_ref().is_none_or(|t| t.contains_key(key));
            self.owned.retain(there);
            self.owned.extend(wanted);
        } else {
            for operation in &operations {
                if let Operation::RemoveService { key } = operation {
                    known.remove(key);
                }
            }
            known.extend(desired.iter().map(|(key, entry)| (*key, entry.clone())));
            self.owned = wanted;
            self.refused.clear();
        }
        !failed
    }

    /// Looks for what others have changed, and mends it.
    pub fn look(&mut self, desired: &Table) {
        let before = self.known.take();
        self.read();
        if let (Some(before), Some(now)) = (before, &self.known)
            && self.owned.iter().any(|key| before.get(key) != now.get(key))
        {
            tracing::warn!("IPVS: the table was changed by someone else, mending it");
        }
        self.program(desired);
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
    use crate::check::virtual_server::{ServerView, entry, service_keys};
    use crate::core::config::model::Family;
    use crate::core::config::model::check::CheckConfig;
    use crate::ipvs::fake::FakeKernel;

    fn desired(servers: u8) -> Table {
        let config = service(servers);
        let key = service_keys(&config, &CheckConfig::default())[0];
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
        table.program(&desired(3));
        assert_eq!(table.client.log, []);
        table.program(&desired(2));
        assert_eq!(table.client.log.len(), 1);
        assert_eq!(table.client.table, desired(2));
    }

    #[test]
    fn lvs_flush_clears_also_what_is_not_ours() {
        let global = Global { lvs_flush: true, ..Global::default() };
        let kernel = FakeKernel { table: Table::from([mark(9)]), ..FakeKernel::default() };
        let mut table = KernelTable::take_over(kernel, &global);
        table.program(&desired(1));
        assert_eq!(table.client.table, desired(1));
    }

    #[test]
    fn an_unreadable_table_is_not_taken_for_an_empty_one() {
        let kernel = FakeKernel { table: desired(3), unreadable: 3, ..FakeKernel::default() };
        let mut table = over(kernel);
        assert!(table.known().is_none());
        table.program(&desired(3));
        assert_eq!(table.client.log, [], "nothing is planned from a guess");
        table.look(&desired(3));
        assert_eq!(table.client.log, []);
        assert_eq!(table.known(), Some(&desired(3)));
    }

    #[test]
    fn what_others_change_in_our_part_is_mended_and_theirs_is_left_alone() {
        let mut table = over(FakeKernel::default());
        table.program(&desired(2));
        let (key, foreign) = mark(9);
        table.client.table = Table::from([(key, foreign.clone())]);
        table.look(&desired(2));
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
        table.program(&both);
        table.client.refuse = Some(mark(7).0);
        table.program(&desired(1));
        assert!(table.client.table.contains_key(&mark(7).0));
        table.client.refuse = None;
        table.look(&desired(1));
        assert_eq!(table.client.table, desired(1));
    }
}
