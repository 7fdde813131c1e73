//! The processes of a container, as `ps` on the host shows them.

use std::sync::Arc;

use tokio::process::Command;
use trestle_core::{Doing, Error, Result};

use super::containers::Containers;
use super::live::Container;

/// What `ps` printed, for the processes of one container.
pub struct Table {
    /// Its head.
    pub titles: Vec<String>,
    /// A row a process.
    pub processes: Vec<Vec<String>>,
}

impl Containers {
    /// Looks at the processes of a container; `arguments` are those of `ps`, which have to show process ids.
    ///
    /// # Errors
    /// `Conflict` where it does not run, `Invalid` for arguments that `ps` refuses, `Unsupported` without `ps`.
    pub async fn top(&self, container: &Arc<Container>, arguments: &str) -> Result<Table> {
        self.run_of(container)?;
        let ours = self.0.oci.processes(container.id).await.doing(|| "looking for the container's processes")?;
        let output = Command::new("ps").args(arguments.split_whitespace()).output().await;
        let output = output.map_err(|cause| {
            Error::unsupported(format!("running ps on the host: {cause}; install it (Debian: apt-get install procps)"))
        })?;
        if !output.status.success() {
            let told = String::from_utf8_lossy(&output.stderr);
            return Err(Error::invalid(format!("ps {arguments}: {}", told.trim())));
        }
        let table = read(&String::from_utf8_lossy(&output.stdout), &ours);
        table.ok_or_else(|| Error::invalid(format!("Couldn't find PID field in ps output: ps {arguments}")))
    }
}

/// The rows of some processes; `None` where no column has their ids.
fn read(printed: &str, ours: &[u32]) -> Option<Table> {
    let mut lines = printed.lines();
    let titles: Vec<String> = lines.next()?.split_whitespace().map(str::to_owned).collect();
    let column = titles.iter().position(|title| title == "PID")?;
    let rows = lines.map(|line| row(line, titles.len()));
    let is_ours =
        |row: &Vec<String>| row.get(column).and_then(|pid| pid.parse().ok()).is_some_and(|pid| ours.contains(&pid));
    Some(Table { processes: rows.filter(is_ours).collect(), titles })
}

/// So many columns; the last, a command, may have spaces in it.
fn row(line: &str, columns: usize) -> Vec<String> {
    let mut words = line.split_whitespace();
    let mut row: Vec<String> = words.by_ref().take(columns.saturating_sub(1)).map(str::to_owned).collect();
    row.push(words.collect::<Vec<_>>().join(" "));
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_container_s_processes_are_shown_and_commands_stay_whole() {
        let printed = "UID PID CMD\nroot 1 init\nroot 7 sleep 10 20\n";
        let table = read(printed, &[7]).unwrap();
        assert_eq!(table.titles, ["UID", "PID", "CMD"]);
        assert_eq!(table.processes, [["root", "7", "sleep 10 20"]]);
        assert!(read("A B\n", &[7]).is_none());
    }
}
