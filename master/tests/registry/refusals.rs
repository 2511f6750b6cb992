//! What is there and cannot be used: a clear word and no harm.
use std::time::Duration;

use mesos_master::registry::{Registrar, RegistryError};
use mesos_test_support::ZooKeeper;
use zookeeper_client::{Acls, Client, CreateMode};

use super::{lead, master, read, samples, settings, write};

#[tokio::test]
async fn another_format_is_refused_with_the_remedy_and_left_alone() {
    let zookeeper = ZooKeeper::standalone();
    let settings = settings(&zookeeper, "/mesos");
    let (leader, _) = lead(&settings, 1, "m").await;
    let client = Client::connect(&settings.servers).await.unwrap();
    let format = "/mesos/mesos-rs.registry/format";
    for (found, remedy) in [
        ("3", "start the newer release again"),
        ("1", "no release wrote that"),
        (
            "two",
            "is damaged: /mesos/mesos-rs.registry/format is not a number",
        ),
    ] {
        client
            .set_data(format, found.as_bytes(), None)
            .await
            .unwrap();
        let refused = Registrar::zookeeper(settings.clone(), 2, &master("n")).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains(remedy), "{error}");
        assert!(error.contains("/mesos/mesos-rs.registry"), "{error}");
        // The leader that can read it was not disturbed.
        write(&leader, &samples::admit("a")).await;
    }
    client.set_data(format, b"2", None).await.unwrap();
    assert_eq!(read(&settings).await.agents.len(), 1);
}

#[tokio::test]
async fn damage_is_named_with_the_remedy() {
    let zookeeper = ZooKeeper::standalone();
    let settings = settings(&zookeeper, "/mesos");
    drop(lead(&settings, 1, "m").await);
    let client = Client::connect(&settings.servers).await.unwrap();
    let root = "/mesos/mesos-rs.registry";
    let open = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let gone = format!("{root}/gone/43");
    client.create(&gone, b"", &open).await.unwrap();
    client
        .create(&format!("{gone}/a"), b"soon", &open)
        .await
        .unwrap();
    let error = Registrar::zookeeper(settings.clone(), 1, &master("m"))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "/mesos/mesos-rs.registry: the entry `a` of `gone` does not read: 4 bytes instead of 8"
    );
    client.delete(&format!("{gone}/a"), None).await.unwrap();
    client
        .create(&format!("{gone}/%zz"), b"", &open)
        .await
        .unwrap();
    let error = Registrar::zookeeper(settings.clone(), 1, &master("m"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("not named as an entry would be"),
        "{error}"
    );
    client.delete(&format!("{gone}/%zz"), None).await.unwrap();
    client.delete(&gone, None).await.unwrap();
    client.delete(&format!("{root}/gone"), None).await.unwrap();
    let error = Registrar::zookeeper(settings.clone(), 1, &master("m"))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, RegistryError::Damaged { reason, .. } if reason == "/mesos/mesos-rs.registry/gone is missing"),
        "{error}"
    );
    assert!(
        error.to_string().contains("restore it from a backup"),
        "{error}"
    );
}

#[tokio::test]
async fn only_those_with_the_password_write_and_everybody_reads() {
    let zookeeper = ZooKeeper::standalone();
    let mut settings = settings(&zookeeper, "/mesos");
    settings.credentials = Some(("ann".to_owned(), "secret".to_owned()));
    let (leader, _) = lead(&settings, 1, "m").await;
    write(&leader, &samples::admit("a")).await;
    let mut stranger = settings.clone();
    for credentials in [None, Some(("ann".to_owned(), "guess".to_owned()))] {
        stranger.credentials = credentials;
        let refused = Registrar::zookeeper(stranger.clone(), 1, &master("n")).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("give --zk the user and password"), "{error}");
        assert!(
            !error.contains("secret") && !error.contains("guess"),
            "{error}"
        );
    }
    assert!(!format!("{settings:?}").contains("secret"));
    write(&leader, &samples::admit("b")).await;
    let client = Client::connect(&settings.servers).await.unwrap();
    client
        .get_data("/mesos/mesos-rs.registry/epoch")
        .await
        .unwrap();
    assert_eq!(read(&settings).await.agents.len(), 2);
}

#[tokio::test]
async fn a_zookeeper_that_is_not_there_is_told_after_the_time_for_it() {
    let zookeeper = ZooKeeper::standalone();
    let mut settings = settings(&zookeeper, "/mesos");
    settings.fetch_timeout = Duration::from_secs(1);
    zookeeper.kill_9(0);
    let error = Registrar::zookeeper(settings, 1, &master("m"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, RegistryError::Unavailable { seconds: 1, .. }),
        "{error}"
    );
    assert!(
        error.to_string().ends_with(": no server answers"),
        "{error}"
    );
}

#[tokio::test]
async fn a_tree_that_was_copied_from_another_ensemble_can_be_taken_over() {
    let zookeeper = ZooKeeper::standalone();
    let settings = settings(&zookeeper, "/mesos");
    drop(lead(&settings, 1, "m").await);
    let client = Client::connect(&settings.servers).await.unwrap();
    let claim = "/mesos/mesos-rs.registry/claim";
    // A number that no transaction of this young ensemble can have.
    let copied =
        br#"{"election":4294967296001,"master":"x","address":"y","holder":"z","sequence":9}"#;
    client.set_data(claim, copied, None).await.unwrap();
    let (leader, _) = lead(&settings, 7, "n").await;
    write(&leader, &samples::admit("a")).await;
}
