//! `mesos weights list` and `mesos weights update`.

use clap::Subcommand;
use mesos_wire::v1::{
    WeightInfo,
    master::{
        Call,
        call::{Type, UpdateWeights},
    },
};

use super::{Outcome, call, order};
use crate::{
    ListArgs, MasterArgs,
    listing::{print, print_json},
    table::table,
};

#[derive(Debug, Subcommand)]
pub enum WeightsCommand {
    /// List the weights that are set; other roles weigh 1.
    List {
        #[command(flatten)]
        common: ListArgs,
    },
    /// Set weights of roles; those of other roles stay.
    Update {
        #[command(flatten)]
        master: MasterArgs,
        /// A role and its weight.
        #[arg(required = true, value_name = "ROLE=WEIGHT", value_parser = weight)]
        weights: Vec<(String, f64)>,
    },
}

fn weight(text: &str) -> Result<(String, f64), String> {
    let (role, weight) = text
        .rsplit_once('=')
        .ok_or("expecting ROLE=WEIGHT, such as dev=2.5")?;
    let weight = weight
        .parse()
        .map_err(|_| format!("`{weight}` is no number; expecting ROLE=WEIGHT, such as dev=2.5"))?;
    Ok((role.to_owned(), weight))
}

/// Carries the command out.
pub async fn run(command: WeightsCommand) -> Outcome {
    match command {
        WeightsCommand::List { common } => {
            let answer = order(&common.master.find().await?, &call(Type::GetWeights)).await?;
            let infos = answer.get_weights.unwrap_or_default().weight_infos;
            if common.json {
                return print_json(&infos);
            }
            let rows: Vec<_> = infos
                .iter()
                .map(|info| vec![info.role().to_owned(), info.weight.to_string()])
                .collect();
            print(&table(&["ROLE", "WEIGHT"], &rows));
        }
        WeightsCommand::Update { master, weights } => {
            let weight_infos = weights
                .into_iter()
                .map(|(role, weight)| WeightInfo {
                    role: Some(role),
                    weight,
                })
                .collect();
            let call = Call {
                update_weights: Some(UpdateWeights { weight_infos }),
                ..call(Type::UpdateWeights)
            };
            order(&master.find().await?, &call).await?;
            print("The weights are set\n");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_a_role_and_a_number() {
        assert_eq!(weight("a/b=2.5"), Ok(("a/b".to_owned(), 2.5)));
        assert!(weight("a").is_err());
        assert!(weight("a=x").unwrap_err().contains("`x` is no number"));
    }
}
