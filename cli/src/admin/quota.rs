//! `mesos quota list`, `mesos quota update` and `mesos quota remove`.

use std::collections::BTreeMap;

use clap::Subcommand;
use mesos_wire::v1::{
    master::{
        Call,
        call::{Type, UpdateQuota},
    },
    quota::QuotaConfig,
    value::Scalar,
};

use super::{Outcome, call, order};
use crate::{
    ListArgs, MasterArgs,
    listing::{print, print_json},
    table::table,
};

type Amounts = BTreeMap<String, Scalar>;

#[derive(Debug, Subcommand)]
pub enum QuotaCommand {
    /// List the roles that have a quota.
    List {
        #[command(flatten)]
        common: ListArgs,
    },
    /// Set the quota of a role, in the place of the one it has.
    Update {
        #[command(flatten)]
        master: MasterArgs,
        /// The role.
        role: String,
        /// What is kept free for the role as long as it has less, such as "cpus:2;mem:1024".
        #[arg(long, value_name = "AMOUNTS", value_parser = amounts)]
        guarantee: Option<Amounts>,
        /// What the role and those below it may have at most; what is not named has no limit.
        #[arg(long, value_name = "AMOUNTS", value_parser = amounts)]
        limit: Option<Amounts>,
        /// Also if the cluster has less than is promised, or the role uses more than the limit.
        #[arg(long)]
        force: bool,
    },
    /// Take the quota of a role away.
    Remove {
        #[command(flatten)]
        master: MasterArgs,
        /// The role.
        role: String,
    },
}

fn amounts(text: &str) -> Result<Amounts, String> {
    const EXPECTED: &str = "expecting NAME:AMOUNT;..., such as \"cpus:2;mem:1024\"";
    let mut amounts = Amounts::new();
    for part in text.split(';').filter(|part| !part.trim().is_empty()) {
        let (name, amount) = part.split_once(':').ok_or(EXPECTED)?;
        let value = amount
            .trim()
            .parse()
            .map_err(|_| format!("`{amount}` is no number; {EXPECTED}"))?;
        if amounts
            .insert(name.trim().to_owned(), Scalar { value })
            .is_some()
        {
            return Err(format!("{} is named twice", name.trim()));
        }
    }
    if amounts.is_empty() {
        return Err(EXPECTED.to_owned());
    }
    Ok(amounts)
}

fn text(amounts: &Amounts) -> String {
    let parts: Vec<_> = amounts
        .iter()
        .map(|(name, amount)| format!("{name}:{}", amount.value))
        .collect();
    if parts.is_empty() {
        "-".to_owned()
    } else {
        parts.join(";")
    }
}

/// Carries the command out.
pub async fn run(command: QuotaCommand) -> Outcome {
    match command {
        QuotaCommand::List { common } => {
            let answer = order(&common.master.find().await?, &call(Type::GetQuota)).await?;
            let configs = answer.get_quota.unwrap_or_default().status.configs;
            if common.json {
                return print_json(&configs);
            }
            let rows: Vec<_> = configs
                .iter()
                .map(|config| {
                    vec![
                        config.role.clone(),
                        text(&config.guarantees),
                        text(&config.limits),
                    ]
                })
                .collect();
            print(&table(&["ROLE", "GUARANTEE", "LIMIT"], &rows));
        }
        QuotaCommand::Update {
            master,
            role,
            guarantee,
            limit,
            force,
        } => {
            if guarantee.is_none() && limit.is_none() {
                return Err(
                    "give --guarantee, --limit, or both; `mesos quota remove` takes a quota away"
                        .to_owned(),
                );
            }
            let config = QuotaConfig {
                role: role.clone(),
                guarantees: guarantee.unwrap_or_default(),
                limits: limit.unwrap_or_default(),
            };
            update(&master, config, force).await?;
            print(&format!("The quota of {role} is set\n"));
        }
        QuotaCommand::Remove { master, role } => {
            let config = QuotaConfig {
                role: role.clone(),
                ..QuotaConfig::default()
            };
            update(&master, config, false).await?;
            print(&format!("{role} has no quota\n"));
        }
    }
    Ok(())
}

async fn update(master: &MasterArgs, config: QuotaConfig, force: bool) -> Outcome {
    let update = UpdateQuota {
        force: Some(force),
        quota_configs: vec![config],
    };
    let call = Call {
        update_quota: Some(update),
        ..call(Type::UpdateQuota)
    };
    order(&master.find().await?, &call).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_printed() {
        let read = amounts("mem:1024; cpus:0.5;").unwrap();
        assert_eq!(text(&read), "cpus:0.5;mem:1024");
        assert_eq!(text(&Amounts::new()), "-");
        for (wrong, says) in [
            ("", "expecting"),
            ("cpus", "expecting"),
            ("cpus:x", "`x` is no number"),
            ("a:1;a:2", "a is named twice"),
        ] {
            assert!(amounts(wrong).unwrap_err().contains(says), "{wrong}");
        }
    }
}
